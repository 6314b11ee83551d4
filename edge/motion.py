"""Global motion of the picture and cuts, between neighbouring frames.

Boxes are only looked for a few times a second; between two looks they must move with the camera.
The camera's motion is estimated on a small luma picture: corners are followed by pyramidal
Lucas-Kanade (Bouguet 2001, as in OpenCV) and a similarity transform (shift, zoom, roll) is fitted
by RANSAC. A cut is where that fails and the picture has changed at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import ByteArray

Matrix = NDArray[np.float64]

_ANALYSIS_WIDTH = 320
"""Long side of the luma picture on which motion is estimated, pixels."""
_MAX_CORNERS = 100
_MIN_CORNER_DISTANCE = 10
_CORNER_LIFE = 4
"""Frames for which the same corners are followed: finding them costs three times as much as
following them, and in a pan new ones must come in with the picture."""
_MIN_TRACKED = 8
"""Fewer points than this do not fix four parameters against outliers."""
_RANSAC_PX = 1.0
"""Reprojection error of an inlier, analysis pixels (4 px in a 1280 px picture)."""
_GOOD_INLIERS = 0.35
"""Share of the followed corners that must agree for a motion to be believed."""
_CUT_DIFFERENCE = 14.0
"""Mean luma difference after compensation above which a picture without motion is a new scene."""
_STILL_DIFFERENCE = 4.0
"""Mean luma difference below which two pictures are the same scene whatever the corners say."""
_WARP_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

IDENTITY: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, slots=True)
class Motion:
    """How the picture moved from the frame before to this one.

    matrix: (2, 3) float64 similarity in full-frame pixels: point in the frame before → this frame.
    The picture's top left corner is 0, 0, as for boxes.
    cut: nothing of the frame before can be carried over.
    reliable: enough of the picture agrees on the matrix; else it is the best guess, which is the
    identity where no other motion explains the picture better.
    """

    matrix: Matrix
    cut: bool = False
    reliable: bool = True


def compose(first: Matrix, then: Matrix) -> Matrix:
    """Return the (2, 3) transform that applies `first`, then `then`."""
    result: Matrix = np.empty((2, 3))
    result[:, :2] = then[:, :2] @ first[:, :2]
    result[:, 2] = then[:, :2] @ first[:, 2] + then[:, 2]
    return result


def invert(matrix: Matrix) -> Matrix:
    """Return the inverse of a (2, 3) similarity."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def move_boxes(boxes: NDArray[np.floating], matrix: Matrix) -> NDArray[np.float64]:
    """Carry (N, 4) boxes through a similarity; they stay upright and scale with its zoom."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    half = (boxes[:, 2:] - boxes[:, :2]) * (zoom / 2)
    moved: NDArray[np.float64] = np.concatenate([centres - half, centres + half], axis=1)
    return moved


class MotionEstimator:
    """Follows one source's frames in order."""

    def __init__(self) -> None:
        self._before: ByteArray | None = None
        self._corners: NDArray[np.float32] | None = None
        self._corners_age = 0
        self._size: tuple[int, int] = (0, 0)

    def step(self, luma: ByteArray) -> Motion:
        """Return the motion from the last picture given to this one.

        luma: (H, W) uint8 at full size; read only. The first picture, and one of another size,
        counts as a cut.
        """
        height, width = luma.shape
        return self.step_small(_shrink(luma), width, height)

    def forget(self) -> Motion:
        """Return the motion to a picture that cannot be seen: a cut, and so is the next one."""
        self._before = self._corners = None
        return Motion(IDENTITY, cut=True, reliable=False)

    def step_small(self, small: ByteArray, width: int, height: int) -> Motion:
        """As `step`, for a picture that was shrunk to `analysis_size`. width, height: its own."""
        small_size = (small.shape[1], small.shape[0])
        before, self._before = self._before, small
        same_size, self._size = self._size == (height, width), (height, width)
        corners, self._corners = self._corners, None
        if before is None or not same_size:
            return Motion(IDENTITY, cut=True, reliable=False)
        if corners is None or self._corners_age >= _CORNER_LIFE:
            corners, self._corners_age = _find_corners(before), 0
        self._corners_age += 1
        fitted = _fit(before, small, corners)
        if fitted is None:
            cut = _difference(before, small, IDENTITY) > _STILL_DIFFERENCE
            return Motion(IDENTITY, cut=cut, reliable=False)
        matrix, inliers, followed = fitted
        reliable = inliers >= _GOOD_INLIERS
        if reliable:
            self._corners = followed
        else:
            left = _difference(before, small, matrix)
            if left > _CUT_DIFFERENCE:
                return Motion(IDENTITY, cut=True, reliable=False)
            if left >= _difference(before, small, IDENTITY):
                return Motion(IDENTITY, reliable=False)
        scale_x, scale_y = width / small_size[0], height / small_size[1]
        full = matrix.copy()
        full[0, 1] *= scale_x / scale_y
        full[1, 0] *= scale_y / scale_x
        # OpenCV counts from the middle of the first pixel, boxes from its corner.
        half = np.array([0.5, 0.5])
        full[:, 2] = (matrix[:, 2] + half - matrix[:, :2] @ half) * (scale_x, scale_y)
        return Motion(full, reliable=reliable)


def analysis_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height at which the motion of pictures of a size is estimated."""
    scale = _ANALYSIS_WIDTH / max(height, width)
    return max(16, round(width * scale)), max(16, round(height * scale))


def _shrink(luma: ByteArray) -> ByteArray:
    """Scale to the analysis size, each pixel a mean of the ones it stands for.

    Halving has a fast path in OpenCV that area averaging by other factors has not: 0.2 ms instead
    of 0.8 for a 720p picture.
    """
    target = analysis_size(luma.shape[1], luma.shape[0])
    while luma.shape[1] >= 2 * target[0] and luma.shape[0] >= 2 * target[1]:
        half = (luma.shape[1] // 2, luma.shape[0] // 2)
        luma = np.asarray(cv2.resize(luma, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(luma, target, interpolation=cv2.INTER_AREA), np.uint8)


def _find_corners(small: ByteArray) -> NDArray[np.float32] | None:
    found = cv2.goodFeaturesToTrack(small, _MAX_CORNERS, 0.01, _MIN_CORNER_DISTANCE, blockSize=3)
    return None if found is None else np.asarray(found, np.float32)


def _fit(
    before: ByteArray, now: ByteArray, corners: NDArray[np.float32] | None
) -> tuple[Matrix, float, NDArray[np.float32]] | None:
    """Return the similarity before → now in analysis pixels, its share of inliers, and those."""
    if corners is None or len(corners) < _MIN_TRACKED:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, corners, np.empty_like(corners), winSize=(11, 11), maxLevel=3,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03),
    )  # fmt: skip
    ok = found[:, 0] == 1
    if int(ok.sum()) < _MIN_TRACKED:
        return None
    arrived = np.asarray(moved[ok], np.float32)
    matrix, inliers = cv2.estimateAffinePartial2D(
        corners[ok], arrived, method=cv2.RANSAC, ransacReprojThreshold=_RANSAC_PX,
        maxIters=200, confidence=0.99, refineIters=5,
    )  # fmt: skip
    if matrix is None or not np.isfinite(matrix).all():
        return None
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if not 0.5 < zoom < 2.0:  # no camera doubles its zoom within one frame
        return None
    agreed = inliers[:, 0] == 1
    inlying = np.asarray(arrived[agreed].reshape(-1, 1, 2), np.float32)
    return np.asarray(matrix, np.float64), float(agreed.sum()) / len(corners), inlying


def _difference(before: ByteArray, now: ByteArray, matrix: Matrix) -> float:
    """Mean absolute luma difference between `now` and `before` carried along the motion."""
    height, width = now.shape
    carried = cv2.warpAffine(before, invert(matrix), (width, height), flags=_WARP_FLAGS,
                             borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return float(cv2.norm(carried, now, cv2.NORM_L1)) / now.size
