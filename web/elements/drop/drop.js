// Files go to the server one after another; their list, once they have arrived, is the element's state `files`.
const size = (bytes) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB`
  : `${Math.max(1, Math.round(bytes / 1e3))} kB`;

function create(root, view) {
  const list = root.querySelector("ul"), input = root.querySelector("input"), zone = root.querySelector("label");
  let files = [], waiting = Promise.resolve();
  const publish = () => view.current.setStateValue("files", files.map(({ id }) => ({ id })));

  function row(file) {
    const item = document.createElement("li");
    item.innerHTML = "<span class='name'></span><span class='size'></span><progress max='1' value='0'></progress>"
      + "<button type='button'>✕</button>";
    item.querySelector(".name").textContent = file.name;
    item.querySelector(".size").textContent = size(file.size);
    item.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
    item.querySelector("button").setAttribute("aria-label", `Remove ${file.name}`);
    item.querySelector("button").onclick = () => {
      files = files.filter((each) => each.item !== item);
      item.remove();
      publish();
    };
    list.append(item);
    return item;
  }

  function fail(item, reason) {
    item.className = "failed";
    item.querySelector(".size").textContent = reason;
  }

  view.lose = () => {
    if (!files.length) return;
    files.forEach(({ item }) => fail(item, "No longer on the server; add it again."));
    files = [];
    publish();
  };

  function send(file, item) {
    return new Promise((done) => {
      const request = new XMLHttpRequest();
      item.querySelector("button").addEventListener("click", () => request.abort());
      request.upload.onprogress = (event) => { item.querySelector("progress").value = event.loaded / event.total; };
      request.onloadend = () => {
        item.querySelector("progress").remove();
        const answer = request.response ?? {};
        if (request.status === 200) files.push({ ...answer, item });
        else if (item.isConnected) fail(item, answer.error ?? "The upload did not arrive; try it again.");
        done();
      };
      request.open("PUT", view.current.data.to + encodeURIComponent(file.name || "pasted.png"));
      request.responseType = "json";
      if (item.isConnected) request.send(file); else done();
    });
  }

  function take(chosen) {
    const given = [...chosen];
    if (!given.length) return;
    const rows = given.map(row);
    given.forEach((file, index) => { waiting = waiting.then(() => send(file, rows[index])); });
    waiting = waiting.then(publish);
  }

  const paste = (event) => { if (root.isConnected && event.clipboardData.files.length) take(event.clipboardData.files); };
  input.onchange = () => { take(input.files); input.value = ""; };
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => { event.preventDefault(); zone.classList.remove("over"); take(event.dataTransfer.files); };
  document.addEventListener("paste", paste);
  return () => document.removeEventListener("paste", paste);
}

const views = new WeakMap();

export default function (component) {
  const root = component.parentElement.querySelector(".drop"), { data } = component;
  let view = views.get(root);
  if (!view) {
    views.set(root, (view = { current: component }));
    view.end = create(root, view);
  }
  const before = view.current.data.to;
  view.current = component;
  // Another visit: the connection was away too long, or the server was restarted, and what the earlier had is deleted.
  if (data.to !== before) view.lose();
  root.setAttribute("aria-label", data.label);
  root.querySelector("strong").textContent = data.label;
  root.querySelector(".hint").textContent = data.hint;
  root.querySelector("input").accept = data.accept;
  root.querySelector("input").setAttribute("aria-label", data.label);
  // Until here it has no name for a screen reader.
  root.style.visibility = "";
  return view.end;
}
