// Redaction of 4:2:0 pictures in place: the same samples as cpu.py, whose words are used here.
//
// All regions of a picture are hidden by two launches on one stream. `cell_means` reads the picture
// and writes only tables: the mean of every cell, and which blocks of every row lie inside of an
// outline. `paint` reads only tables and writes the picture. So means are those of the unmodified
// picture however regions overlap. Every 2x2 block is painted by one thread, the one that works for
// the last region, in the order of painting, that hides the block: no two threads ever write to the
// same sample, and neither the order of threads nor that of thread blocks can be seen.
//
// Everything is an integer but the outline, which is the float64 arithmetic of effects.block_mask
// in the same order of operations, each rounded by itself (__dmul_rn: the compiler must not fuse).

#include "planes.cuh"

enum { MOSAIC = 0, GAUSSIAN = 1, SOLID = 2 };

const int MOST_REGIONS = 1024;  // indices that fit into paint's shared memory
const int TILE_X = 32, TILE_Y = 8;  // blocks of 2x2 luma pixels that one thread block paints
const int TAPS = 8;
const int TAPS_BEFORE = 3;

// One region in the order of painting. Blocks are 2x2 luma pixels with one sample of U and of V.
struct Region {
    int x1, y1, x2, y2;            // blocks, clipped to the picture; x2 and y2 exclusive
    int left, top, right, bottom;  // luma pixels of the outline before clipping, even
    int cells_x, cells_y;
    int first_cell;   // its first cell among those of all regions
    int first_slice;  // likewise of slices: parts of cells, one warp each
    int slices;       // slices of one cell
    int first_row;    // likewise of rows of blocks
    int first_tile;   // likewise of tiles that paint works on
    int taps_x, taps_y;  // its first record in the table of taps; gaussian only
    int effect;
    int exponent;  // of the superellipse; 0 for a rectangle
    int spare;
};

// Weights of TAPS neighbouring cells in 256ths, beginning with window_start().
struct alignas(16) Taps {
    unsigned short weight[TAPS];
};

// Blocks [from, to) of one row are hidden.
struct Span {
    int from, to;
};

__device__ inline int window_start(int cell, int cells) {
    int start = cell - TAPS_BEFORE;
    if (start > cells - TAPS) start = cells - TAPS;
    return start < 0 ? 0 : start;
}

// (distance of the block's nearer pixel centre from the outline's centre / half size)^exponent.
__device__ double reach(int block, int start, int stop, int exponent) {
    double centre = (start + stop) / 2.0, half = (stop - start) / 2.0;
    double one = fabs(2 * block + 0.5 - centre) / half;
    double other = fabs(2 * block + 1.5 - centre) / half;
    double power = one < other ? one : other;
    for (; exponent > 1; exponent >>= 1) power = __dmul_rn(power, power);
    return power;
}

// What a superellipse hides of one row of blocks. It is convex, and rounding keeps order, so that
// both ends can be found by bisection from its middle.
__device__ Span outline_span(const Region &r, int row) {
    Span span = {r.x1, r.x2};
    if (r.exponent == 0) return span;
    double down = reach(row, r.top, r.bottom, r.exponent);
    int middle = ((r.left + r.right) / 2) >> 1;
    middle = middle < r.x1 ? r.x1 : middle > r.x2 ? r.x2 : middle;
    int low = r.x1, high = middle;  // the first hidden block of the left half
    while (low < high) {
        int at = (low + high) / 2;
        bool hidden = __dadd_rn(down, reach(at, r.left, r.right, r.exponent)) <= 1.0;
        if (hidden) high = at;
        else low = at + 1;
    }
    span.from = low;
    low = middle, high = r.x2;  // the first block of the right half that is not hidden
    while (low < high) {
        int at = (low + high) / 2;
        bool hidden = __dadd_rn(down, reach(at, r.left, r.right, r.exponent)) <= 1.0;
        if (hidden) low = at + 1;
        else high = at;
    }
    span.to = low;
    return span;
}

// One warp a slice of a cell, then one thread a row of blocks. Means are packed as Y | U<<8 | V<<16.
extern "C" __global__ void cell_means(Planes p, const Region *regions, int count, int slices,
                                      int rows, Sums *sums, unsigned int *means, Span *spans) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    int warp = thread / WARP, lane = thread % WARP;
    if (warp >= slices) {
        int item = thread - slices * WARP;
        if (item >= rows) return;
        const Region &r = regions[owner_of(item, regions, count, &Region::first_row)];
        spans[item] = outline_span(r, r.y1 + item - r.first_row);
        return;
    }
    const Region &r = regions[owner_of(warp, regions, count, &Region::first_slice)];
    int own = warp - r.first_slice;
    int cell = own / r.slices, slice = own % r.slices;
    int row = cell / r.cells_x, column = cell % r.cells_x;
    int width = r.x2 - r.x1, height = r.y2 - r.y1;
    int x1 = cell_edge(column, width, r.cells_x), x2 = cell_edge(column + 1, width, r.cells_x);
    int y1 = cell_edge(row, height, r.cells_y), y2 = cell_edge(row + 1, height, r.cells_y);
    unsigned int across = x2 - x1, area = across * (y2 - y1);
    int from = y1 + cell_edge(slice, y2 - y1, r.slices);
    int to = y1 + cell_edge(slice + 1, y2 - y1, r.slices);

    unsigned int part[3] = {0, 0, 0};
    for (unsigned int i = lane; i < across * (to - from); i += WARP) {
        long long y = r.y1 + from + i / across, x = r.x1 + x1 + i % across;
        const unsigned char *luma = p.y + 2 * y * p.y_pitch + 2 * x;
        long long chroma = y * p.chroma_pitch + x * p.chroma_step;
        unsigned int above = *(const unsigned short *)luma;
        unsigned int below = *(const unsigned short *)(luma + p.y_pitch);
        part[0] += (above & 255) + (above >> 8) + (below & 255) + (below >> 8);
        part[1] += p.u[chroma];
        part[2] += p.v[chroma];
    }
    for (int k = 0; k < 3; k++) part[k] = __reduce_add_sync(~0u, part[k]);
    unsigned long long whole[3];
    if (lane == 0 && add_slice(sums + r.first_cell + cell, part, 3, r.slices, whole)) {
        means[r.first_cell + cell] = mean_of(whole[0], 4 * area) | mean_of(whole[1], area) << 8 |
                                     mean_of(whole[2], area) << 16;
    }
}

__device__ inline bool hides(const Region &r, const Span *spans, int x, int y) {
    if (x < r.x1 || x >= r.x2 || y < r.y1 || y >= r.y2) return false;
    Span span = spans[r.first_row + y - r.y1];
    return x >= span.from && x < span.to;
}

__device__ inline void put(const Planes &p, long long x, long long y, const unsigned int luma[4],
                           unsigned int u, unsigned int v) {
    unsigned char *at = p.y + 2 * y * p.y_pitch + 2 * x;
    long long chroma = y * p.chroma_pitch + x * p.chroma_step;
    *(unsigned short *)at = (unsigned short)(luma[0] | luma[1] << 8);
    *(unsigned short *)(at + p.y_pitch) = (unsigned short)(luma[2] | luma[3] << 8);
    p.u[chroma] = (unsigned char)u;
    p.v[chroma] = (unsigned char)v;
}

// A sum of 8-bit means, weighed twice in 256ths, to the nearest level, halves to even.
__device__ inline unsigned int level(unsigned int sum) {
    unsigned int whole = sum >> 16, rest = sum & 0xffff;
    return whole + (rest > 0x8000 || (rest == 0x8000 && (whole & 1)));
}

// The smooth surface through the means, at one block. Taps hold two records of luma and one of
// chroma for each block; their sums are at most 2^16 * 255.
__device__ void paint_smooth(const Planes &p, const Region &r, const unsigned int *means,
                             const Taps *taps, int x, int y) {
    const Taps *tx = taps + r.taps_x + 3 * (x - r.x1), *ty = taps + r.taps_y + 3 * (y - r.y1);
    int cells_x = r.cells_x < TAPS ? r.cells_x : TAPS, cells_y = r.cells_y < TAPS ? r.cells_y : TAPS;
    int column = window_start(cell_of(x - r.x1, r.x2 - r.x1, r.cells_x), r.cells_x);
    int row = window_start(cell_of(y - r.y1, r.y2 - r.y1, r.cells_y), r.cells_y);
    const unsigned int *first = means + r.first_cell + row * r.cells_x + column;
    unsigned int luma[4] = {0, 0, 0, 0}, u = 0, v = 0;
    for (int j = 0; j < cells_y; j++) {
        unsigned int left = 0, right = 0, line_u = 0, line_v = 0;
        for (int i = 0; i < cells_x; i++) {
            unsigned int mean = first[j * r.cells_x + i];
            left += tx[0].weight[i] * (mean & 255);
            right += tx[1].weight[i] * (mean & 255);
            line_u += tx[2].weight[i] * (mean >> 8 & 255);
            line_v += tx[2].weight[i] * (mean >> 16);
        }
        luma[0] += ty[0].weight[j] * left;
        luma[1] += ty[0].weight[j] * right;
        luma[2] += ty[1].weight[j] * left;
        luma[3] += ty[1].weight[j] * right;
        u += ty[2].weight[j] * line_u;
        v += ty[2].weight[j] * line_v;
    }
    for (int k = 0; k < 4; k++) luma[k] = level(luma[k]);
    put(p, x, y, luma, level(u), level(v));
}

// One thread block a tile of a region, one thread a block of 2x2 pixels.
extern "C" __global__ void paint(Planes p, const Region *regions, int count,
                                 const unsigned int *means, const Span *spans, const Taps *taps) {
    __shared__ int above[MOST_REGIONS];
    __shared__ int found;
    int mine = owner_of((int)blockIdx.x, regions, count, &Region::first_tile);
    const Region &r = regions[mine];
    int tile = blockIdx.x - r.first_tile, across = (r.x2 - r.x1 + TILE_X - 1) / TILE_X;
    int x1 = r.x1 + tile % across * TILE_X, y1 = r.y1 + tile / across * TILE_Y;

    // Which later regions touch this tile, in any order: only whether one hides a block counts.
    int thread = threadIdx.y * TILE_X + threadIdx.x;
    if (thread == 0) found = 0;
    __syncthreads();
    for (int i = mine + 1 + thread; i < count; i += TILE_X * TILE_Y) {
        const Region &other = regions[i];
        if (other.x1 < x1 + TILE_X && other.x2 > x1 && other.y1 < y1 + TILE_Y && other.y2 > y1)
            above[atomicAdd(&found, 1)] = i;
    }
    __syncthreads();

    int x = x1 + threadIdx.x, y = y1 + threadIdx.y;
    if (!hides(r, spans, x, y)) return;
    for (int i = 0; i < found; i++)
        if (hides(regions[above[i]], spans, x, y)) return;
    if (r.effect == GAUSSIAN) {
        paint_smooth(p, r, means, taps, x, y);
        return;
    }
    unsigned int luma = p.black, u = NEUTRAL_CHROMA, v = NEUTRAL_CHROMA;
    if (r.effect == MOSAIC) {
        int column = cell_of(x - r.x1, r.x2 - r.x1, r.cells_x);
        unsigned int mean =
            means[r.first_cell + cell_of(y - r.y1, r.y2 - r.y1, r.cells_y) * r.cells_x + column];
        luma = mean & 255, u = mean >> 8 & 255, v = mean >> 16;
    }
    const unsigned int four[4] = {luma, luma, luma, luma};
    put(p, x, y, four, u, v);
}

// The mask of a whole picture: first all means, one warp a slice of a cell of a plane.
extern "C" __global__ void whole_means(const Plane *planes, int count, int slices, Sums *sums,
                                       unsigned char *means) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    int warp = thread / WARP, lane = thread % WARP;
    if (warp >= slices) return;
    const Plane &p = planes[owner_of(warp, planes, count, &Plane::first_slice)];
    int own = warp - p.first_slice;
    int cell = own / p.slices, slice = own % p.slices;
    int row = cell / p.cells_x, column = cell % p.cells_x;
    int x1 = cell_edge(column, p.width, p.cells_x), x2 = cell_edge(column + 1, p.width, p.cells_x);
    int y1 = cell_edge(row, p.height, p.cells_y), y2 = cell_edge(row + 1, p.height, p.cells_y);
    int from = y1 + cell_edge(slice, y2 - y1, p.slices);
    int to = y1 + cell_edge(slice + 1, y2 - y1, p.slices);
    unsigned int part = 0;
    for (int y = from; y < to; y++)
        for (int x = x1 + lane; x < x2; x += WARP)
            part += p.data[y * p.pitch + (long long)x * p.step];
    part = __reduce_add_sync(~0u, part);
    unsigned long long whole;
    if (lane == 0 && add_slice(sums + p.first_cell + cell, &part, 1, p.slices, &whole))
        means[p.first_cell + cell] = (unsigned char)mean_of(whole, (x2 - x1) * (y2 - y1));
}

// Then all samples. blockIdx.z is the plane.
extern "C" __global__ void whole_fill(const Plane *planes, const unsigned char *means) {
    const Plane &p = planes[blockIdx.z];
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.width || y >= p.height) return;
    int cell = cell_of(y, p.height, p.cells_y) * p.cells_x + cell_of(x, p.width, p.cells_x);
    p.data[y * p.pitch + (long long)x * p.step] = means[p.first_cell + cell];
}

// A mark of 2x2 blocks whose first is at x, y: sample * keep / 255 + add, saturated. keep and add
// hold its luma (2 width x 2 height), then its chroma (width x height), the same for U and V. 255 is
// odd: there are no halves to round.
extern "C" __global__ void watermark(Planes p, int x, int y, int width, int height,
                                     const unsigned char *keep, const unsigned char *add) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (i >= 2 * width || j >= 2 * height) return;
    unsigned char *luma = p.y + (2 * y + j) * p.y_pitch + 2 * x + i;
    int at = j * 2 * width + i;
    unsigned int sample = (2u * *luma * keep[at] + 255) / 510 + add[at];
    *luma = (unsigned char)(sample > 255 ? 255 : sample);
    if (i >= width || j >= height) return;
    at = 4 * width * height + j * width + i;
    long long chroma = (y + j) * p.chroma_pitch + (long long)(x + i) * p.chroma_step;
    unsigned char *both[2] = {p.u + chroma, p.v + chroma};
    for (int k = 0; k < 2; k++) {
        sample = (2u * *both[k] * keep[at] + 255) / 510 + add[at];
        *both[k] = (unsigned char)(sample > 255 ? 255 : sample);
    }
}

#include "looking.cuh"
