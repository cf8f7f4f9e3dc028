"""Makes a clean photograph look like a video frame: blur, dim light, noise, compression."""

import cv2
import numpy as np

from fer_model.types import Image

KINDS = ("motion_blur", "defocus", "dim", "noise", "jpeg", "low_resolution")


def degrade(image: Image, kind: str, random: np.random.Generator) -> Image:
    """One degradation of a (H, W, 3) picture 0..255, of random strength; the shape stays.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
    """
    match kind:
        case "motion_blur":
            return _motion_blur(image, int(random.integers(3, 16)), random.uniform(0, 180))
        case "defocus":
            return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.6, 3.0)), np.uint8)
        case "dim":
            return _dim(image, random.uniform(1.0, 2.2), random.uniform(0.2, 0.8))
        case "noise":
            noise = random.normal(0, random.uniform(3, 20), image.shape)
            return np.clip(image + noise, 0, 255).astype(np.uint8)
        case "jpeg":
            return _jpeg(image, int(random.integers(10, 50)))
        case "low_resolution":
            return _low_resolution(image, random.uniform(0.35, 0.8))
    raise ValueError(f"unknown degradation {kind!r}; one of {', '.join(KINDS)}")


def degrade_randomly(image: Image, probability: float, random: np.random.Generator) -> Image:
    """Applies each kind at random, in the order in which a camera and an encoder would add them."""
    for kind in KINDS:
        if random.random() < probability:
            image = degrade(image, kind, random)
    return image


def _motion_blur(image: Image, length: int, angle: float) -> Image:
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), angle, 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _dim(image: Image, gamma: float, gain: float) -> Image:
    table = 255 * gain * (np.arange(256) / 255) ** gamma
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)), np.uint8)


def _jpeg(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _low_resolution(image: Image, scale: float) -> Image:
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
