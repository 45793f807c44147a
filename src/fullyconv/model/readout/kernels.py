# mypy: ignore-errors
"""The kernels of ``readout.triton``, which says what bands, windows and tiles are.

A program takes one image, one band of rows and GROUP bands of columns, and works on ROWS × COLUMNS pixels of each at a
time. It goes over the classes one by one and holds the pixels' running maximum, or their log-sum-exp: nothing of the
logits' size exists anywhere. Arithmetic is float32 whatever the scores are; what may pass 2³¹ is counted in int64.
"""

import triton
import triton.language as tl


@triton.jit
def _bands(row_count, column_count, GROUP: tl.constexpr):
    """This program's image, band of rows and GROUP bands of columns, int64; some may lie beyond ``column_count``."""
    program = tl.program_id(0)
    groups = tl.cdiv(column_count, GROUP)
    columns = (program % groups) * GROUP + tl.arange(0, GROUP)
    row = (program // groups) % row_count
    image = program // groups // row_count
    return image.to(tl.int64), row.to(tl.int64), columns.to(tl.int64)


@triton.jit
def _span(starts, band, inside):
    """First pixel of each band, and the one after its last."""
    return tl.load(starts + band, mask=inside, other=0), tl.load(starts + band + 1, mask=inside, other=0)


@triton.jit
def _weights(table, length, pixels, inside, TAPS: tl.constexpr):
    """The weights of the pixels' cells, a tensor for each tap; 0 where not ``inside``."""
    weights = ()
    for tap in tl.static_range(TAPS):
        weights = weights + (tl.load(table + tap * length + pixels, mask=inside, other=0.0),)  # noqa: RUF005
    return weights


@triton.jit
def _logit(
    cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr
):
    """One class: scores at ``cells`` (GROUP), the windows' first → logits (GROUP, ROWS, COLUMNS), float32."""
    logit = 0.0
    for i in tl.static_range(ROW_TAPS):
        along = 0.0
        for j in tl.static_range(COLUMN_TAPS):
            score = tl.load(cells + i * row_stride + j * column_stride, mask=inside, other=0.0).to(tl.float32)
            along += score[:, None] * horizontal[j]
        logit += along[:, None, :] * vertical[i][None, :, None]
    return logit


@triton.jit
def labels_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    image, row, column = _bands(row_bands, column_bands, GROUP)
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            highest = tl.full((GROUP, ROWS, COLUMNS), float("-inf"), tl.float32)
            label = tl.zeros((GROUP, ROWS, COLUMNS), tl.int32)
            cells = first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                label = tl.where(logit > highest, c, label)
                highest = tl.maximum(highest, logit)
                cells += class_stride
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            tl.store(labels + pixel, label.to(labels.dtype.element_ty), mask=drawn)


@triton.jit
def loss_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels, class_weights, ignore_index, smoothing, normalizers, totals, masses,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, NORMALIZERS: tl.constexpr,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    image, row, column = _bands(row_bands, column_bands, GROUP)
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    total = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)
    mass = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            label = tl.load(labels + pixel, mask=drawn, other=0).to(tl.int32)
            counts = drawn & (label != ignore_index)
            highest = tl.full((GROUP, ROWS, COLUMNS), float("-inf"), tl.float32)
            exponentials = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)  # Σ exp(logit − highest)
            target = tl.full((GROUP, ROWS, COLUMNS), float("nan"), tl.float32)  # stays so for a label that is no class
            spread = tl.zeros((GROUP, ROWS, COLUMNS), tl.float32)  # Σ weight · logit
            whole = 0.0  # Σ weight
            cells = first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                above = logit - highest
                smaller = tl.exp(-tl.abs(above))  # the smaller of the two, relative to the greater
                exponentials = tl.where(above > 0, exponentials * smaller + 1, exponentials + smaller)
                highest = tl.maximum(highest, logit)
                target = tl.where(label == c, logit, target)
                if SMOOTHED:
                    share = tl.load(class_weights + c) if WEIGHTED else 1.0
                    spread += share * logit
                    whole += share
                cells += class_stride
            normalizer = highest + tl.log(exponentials)
            if WEIGHTED:
                known = counts & (label >= 0) & (label < classes)
                weight = tl.load(class_weights + label, mask=known, other=1.0)
            else:
                weight = tl.full((GROUP, ROWS, COLUMNS), 1.0, tl.float32)
            loss = (1 - smoothing) * weight * (normalizer - target)
            if SMOOTHED:
                loss += smoothing / classes * (whole * normalizer - spread)
            total += tl.where(counts, loss, 0.0)
            mass += tl.where(counts, weight, 0.0)
            if NORMALIZERS:
                tl.store(normalizers + pixel, tl.where(counts & (target != target), target, normalizer), mask=drawn)
    tl.store(totals + tl.program_id(0), tl.sum(total))
    tl.store(masses + tl.program_id(0), tl.sum(mass))


@triton.jit
def gradient_kernel(
    scores, image_stride, class_stride, row_stride, column_stride, classes,
    row_weights, row_starts, column_weights, column_starts, row_bands, column_bands, height, width,
    labels, class_weights, ignore_index, smoothing, normalizers, scale,
    gradient, g_image_stride, g_class_stride, g_row_stride, g_column_stride, first_row, first_column, rows, columns,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr,
    GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Of one colour: every ROW_TAPS-th band of rows from ``first_row`` on, so likewise of columns; no cell is shared.

    ``rows`` and ``columns`` are the numbers of such bands.
    """
    image, row, column = _bands(rows, columns, GROUP)
    row = first_row + row * ROW_TAPS
    column = first_column + column * COLUMN_TAPS
    inside = column < column_bands
    top, bottom = _span(row_starts, row, True)
    left, right = _span(column_starts, column, inside)
    first = scores + image * image_stride + row * row_stride + column * column_stride
    g_first = gradient + image * g_image_stride + row * g_row_stride + column * g_column_stride
    factor = tl.load(scale)
    whole = 0.0
    if SMOOTHED:
        for c in range(classes):
            whole += tl.load(class_weights + c) if WEIGHTED else 1.0
    for y0 in range(top, bottom, ROWS):
        y = y0 + tl.arange(0, ROWS)
        vertical = _weights(row_weights, height, y, y < bottom, ROW_TAPS)
        for x0 in range(0, tl.max(right - left), COLUMNS):
            x = left[:, None] + x0 + tl.arange(0, COLUMNS)[None, :]
            horizontal = _weights(column_weights, width, x, x < right[:, None], COLUMN_TAPS)
            pixel = ((image * height + y) * width)[None, :, None] + x[:, None, :]
            drawn = (y < bottom)[None, :, None] & (x < right[:, None])[:, None, :]
            label = tl.load(labels + pixel, mask=drawn, other=0).to(tl.int32)
            normalizer = tl.load(normalizers + pixel, mask=drawn, other=0.0)
            counts = drawn & (label != ignore_index)
            if WEIGHTED:
                known = counts & (label >= 0) & (label < classes)
                weight = tl.load(class_weights + label, mask=known, other=1.0)
            else:
                weight = tl.full((GROUP, ROWS, COLUMNS), 1.0, tl.float32)
            of_target = tl.where(counts, factor * (1 - smoothing) * weight, 0.0)
            of_all = tl.where(counts, factor * smoothing / classes, 0.0)
            of_probability = of_target + of_all * whole
            cells, g_cells = first, g_first
            for c in range(classes):
                logit = _logit(cells, row_stride, column_stride, inside, vertical, horizontal, ROW_TAPS, COLUMN_TAPS)
                by_logit = of_probability * tl.exp(logit - normalizer) - tl.where(label == c, of_target, 0.0)
                if SMOOTHED:
                    by_logit -= of_all * (tl.load(class_weights + c) if WEIGHTED else 1.0)
                for i in tl.static_range(ROW_TAPS):
                    along = tl.sum(by_logit * vertical[i][None, :, None], 1)
                    for j in tl.static_range(COLUMN_TAPS):
                        cell = g_cells + i * g_row_stride + j * g_column_stride
                        share = tl.sum(along * horizontal[j], 1)
                        tl.store(cell, tl.load(cell, mask=inside, other=0.0) + share, mask=inside)
                cells += class_stride
                g_cells += g_class_stride
            tl.debug_barrier()  # the next pixels of these bands add to what all threads have written
