// Two peers on npm, on TensorFlow.js with WebAssembly: `node peer_npm.cjs human|human-faces|face-api-faces FOLDER`.
//
// FOLDER has node_modules. Standard input: see `_pictures` in peers.py. Prints JSON for each repetition: seconds, and for
// each picture the emotion of its largest face (null without a face). The modes *-faces run the emotion network alone.
const fs = require('fs');
const path = require('path');

const [mode, folder] = process.argv.slice(2);
const packages = path.resolve(folder, 'node_modules');
const load = (name) => require(path.join(packages, name));
const tf = load('@tensorflow/tfjs-core');
load('@tensorflow/tfjs-backend-wasm').setWasmPaths(path.join(packages, '@tensorflow/tfjs-backend-wasm/dist') + '/');

// TensorFlow.js for browsers and WebAssembly reads no files.
tf.io.registerLoadRouter((url) => typeof url === 'string' && url.startsWith('file://') && {
  load: async () => {
    const file = url.slice('file://'.length);
    const { modelTopology, weightsManifest, ...rest } = JSON.parse(fs.readFileSync(file, 'utf8'));
    const parts = weightsManifest.flatMap((group) => group.paths.map((part) => fs.readFileSync(path.join(path.dirname(file), part))));
    const bytes = new Uint8Array(Buffer.concat(parts));
    return { ...rest, modelTopology, weightSpecs: weightsManifest.flatMap((group) => group.weights), weightData: bytes.buffer };
  },
});

async function human() {
  const models = path.join(packages, '@vladmandic/human/models');
  const { Human } = load('@vladmandic/human/dist/human.node-wasm.js');
  const off = { enabled: false };
  const it = new Human({
    backend: 'wasm', modelBasePath: `file://${models}/`, wasmPath: path.join(packages, '@tensorflow/tfjs-backend-wasm/dist') + '/',
    cacheModels: false,
    cacheSensitivity: 0, // analyses every picture, also one like the last
    warmup: 'none', filter: off, gesture: off, body: off, hand: off, object: off, segmentation: off,
    face: { detector: { maxDetected: 10 }, mesh: off, iris: off, description: off, emotion: { minConfidence: 0 } },
  });
  await it.load();
  return async (picture) => {
    const { face, error } = await it.detect(picture);
    if (error) throw new Error(error);
    const faces = face.filter((each) => each.emotion && each.emotion.length);
    faces.sort((one, other) => other.box[2] * other.box[3] - one.box[2] * one.box[3]);
    return faces.length ? faces[0].emotion[0].emotion : null;
  };
}

async function humanFaces() {
  const network = await load('@tensorflow/tfjs-converter').loadGraphModel(`file://${path.join(packages, '@vladmandic/human/models/emotion.json')}`);
  const names = ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'];
  const side = network.inputs[0].shape[2];
  return async (picture) => tf.tidy(() => {
    const grey = tf.mean(tf.image.resizeBilinear(picture, [side, side]), 3, true);
    return names[tf.argMax(network.execute(tf.sub(tf.div(grey, 127.5), 1)), 1).dataSync()[0]];
  });
}

async function faceApiFaces() {
  const faceapi = load('@vladmandic/face-api/dist/face-api.node-wasm.js');
  await faceapi.nets.faceExpressionNet.loadFromDisk(path.join(packages, '@vladmandic/face-api/model'));
  const names = { angry: 'angry', disgusted: 'disgust', fearful: 'fear', happy: 'happy', sad: 'sad', surprised: 'surprise', neutral: 'neutral' };
  return async (picture) => {
    const found = await faceapi.nets.faceExpressionNet.predictExpressions(picture);
    return names[found.asSortedArray()[0].expression];
  };
}

async function main() {
  await tf.setBackend('wasm');
  const answer = await { human, 'human-faces': humanFaces, 'face-api-faces': faceApiFaces }[mode]();
  const input = fs.readFileSync(0);
  const from = input.indexOf('\n') + 1;
  const { count, width, height, repetitions } = JSON.parse(input.subarray(0, from));
  const size = width * height * 3;
  for (let round = 0; round < repetitions; round++) {
    const answers = [];
    const began = process.hrtime.bigint();
    for (let n = 0; n < count; n++) {
      const picture = tf.tensor(new Uint8Array(input.subarray(from + n * size, from + (n + 1) * size)), [1, height, width, 3], 'float32');
      answers.push(await answer(picture));
      picture.dispose();
    }
    console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9, answers }));
  }
}

main().catch((error) => { console.error(error.message); process.exit(1); });
