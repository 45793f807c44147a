"""Colours, textures and light for drawn pictures, which are float32 arrays (H, W, 3) of RGB in 0..1."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.float32]
Pattern = Callable[[np.random.Generator, int, int], Array]

LMS_FROM_LAB = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
RGB_FROM_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def colour(lightness: float, chroma: float, hue: float) -> Array:
    """Return the sRGB colour (3,), in 0..1, of an Oklch colour; colours outside sRGB are clipped.

    Lightness is 0 to 1, chroma 0 to about 0.3, and hue is in turns. Equal steps of Oklch look equal (B. Ottosson, "A
    perceptual color space for image processing", 2020), so that colours of random hue still go together.
    """
    lab = np.array([lightness, chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)])
    linear = np.clip(RGB_FROM_LMS @ (LMS_FROM_LAB @ lab) ** 3, 0, 1)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return encoded.astype(np.float32)


def lightness(rgb: Array) -> float:
    """Return the Oklch lightness of an sRGB colour (3,): the inverse of ``colour`` in its first parameter."""
    rgb = np.clip(rgb, 0, 1)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    return float((np.linalg.inv(LMS_FROM_LAB) @ np.cbrt(np.linalg.inv(RGB_FROM_LMS) @ linear))[0])


def clouds(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return noise at several octaves, each with half the amplitude of the one before; 0..1."""
    cell, weight = max(4, max(height, width) * rng.uniform(0.2, 0.6)), 1.0
    total = np.zeros((height, width), np.float32)
    while cell > 2 and weight > 0.05:
        total += weight * smooth_noise(rng, height, width, cell)
        cell, weight = cell / 2, weight / 2
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, np.float32(1e-6))


def gradient(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return values that rise evenly from 0 to 1 in a random direction."""
    along = _along(rng.uniform(0, 2 * np.pi), height, width)
    return (along - along.min()) / max(along.max() - along.min(), np.float32(1e-6))


def stripes(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return straight or wavy stripes with hard or soft edges."""
    size = max(height, width)
    bend = rng.uniform(0, 6) * smooth_noise(rng, height, width, size / 2)
    phase = _along(rng.uniform(0, np.pi), height, width) * _frequency(rng, size) + bend
    return np.clip(0.5 + rng.uniform(0.5, 3) * np.sin(phase), 0, 1)


def checks(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return checks: two sets of stripes at a right angle, multiplied."""
    angle, frequency = rng.uniform(0, np.pi), _frequency(rng, max(height, width))
    across = np.sin(_along(angle, height, width) * frequency)
    down = np.sin(_along(angle + np.pi / 2, height, width) * frequency)
    return np.clip(0.5 + rng.uniform(0.5, 4) * across * down, 0, 1)


def blobs(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return blobs with hard or soft edges."""
    noise = smooth_noise(rng, height, width, max(4, max(height, width) * rng.uniform(0.05, 0.25)))
    return np.clip(0.5 + rng.uniform(2, 8) * (noise - 0.5), 0, 1)


def wood(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return the grain of wood: stretched and distorted rings around a distant centre."""
    angle = rng.uniform(0, np.pi)
    x, y = _along(angle, height, width), _along(angle + np.pi / 2, height, width)
    size = max(height, width)
    bend = 0.15 * size * smooth_noise(rng, height, width, size / 2)
    rings = np.hypot(x / 6, y - size * rng.uniform(-0.5, 0.5)) + bend
    return 0.5 + 0.5 * np.sin(2 * np.pi * rings / max(4, size * rng.uniform(0.03, 0.08)))


PATTERNS: tuple[Pattern, ...] = (clouds, gradient, stripes, checks, blobs, wood)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """Return random values (H, W), about 0..1, that vary smoothly over ``cell`` pixels."""
    rows, cols = int(height / cell) + 3, int(width / cell) + 3
    grid = Image.fromarray(rng.random((rows, cols), dtype=np.float32))
    box = (1, 1, 1 + width / cell, 1 + height / cell)
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC, box=box))


def texture(rng: np.random.Generator, height: int, width: int, first: Array, second: Array) -> Array:
    """Return a picture (H, W, 3) in which a random pattern mixes the two colours."""
    pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, height, width)
    grain = 0.25 * (smooth_noise(rng, height, width, 3) - 0.5)
    return first + (second - first) * (pattern + grain)[..., None]


def blur(picture: Array, sigma: float) -> Array:
    """Blur one channel (H, W) of values in 0..1 by a Gaussian, to a precision of 1/255."""
    grey = Image.fromarray(np.uint8(picture * 255 + 0.5))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / np.float32(255)


def photograph(rng: np.random.Generator, picture: Array, light: float) -> Image.Image:
    """Return the picture as a camera would take it: lit from an angle (radians), slightly blurred, with noise."""
    height, width = picture.shape[:2]
    slope = _along(light, height, width) / max(height, width)
    lit = picture * (1 + rng.uniform(0, 0.4) * slope)[..., None]
    image = Image.fromarray(np.uint8(np.clip(lit, 0, 1) * 255 + 0.5))
    image = image.filter(ImageFilter.GaussianBlur(max(0, rng.uniform(-0.5, 1.0))))
    noise = rng.uniform(0, 5) * rng.standard_normal((height, width, 3), np.float32)
    return Image.fromarray(np.uint8(np.clip(np.asarray(image) + noise, 0, 255) + 0.5))


def _along(angle: float, height: int, width: int) -> Array:
    """Return each pixel's distance from the picture's centre along a direction, in pixels."""
    y, x = np.ogrid[0:height, 0:width]
    along = (x - (width - 1) / 2) * np.cos(angle) + (y - (height - 1) / 2) * np.sin(angle)
    return along.astype(np.float32)


def _frequency(rng: np.random.Generator, size: int) -> np.float32:
    """Return a random frequency, in radians per pixel, that suits a picture of ``size`` pixels."""
    return np.float32(2 * np.pi / max(5, size * rng.uniform(0.06, 0.25)))
