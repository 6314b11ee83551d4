// A picture in device memory, and how a length is cut into cells. What these structures hold is
// packed by edge/redact/packing.py, whose field order and sizes a test compares with these.

#pragma once

// 8-bit 4:2:0 with even sides. Pitches are bytes from row to row. chroma_step is 1 where U and V
// are planes (YUV420P) and 2 where they take turns (NV12, v = u + 1). Luma rows begin at even
// addresses.
struct Planes {
    unsigned char *y, *u, *v;
    long long y_pitch, chroma_pitch;
    int width, height;
    int chroma_step;
    int black;  // luma of black
};

// One plane by itself, of any size, cut into cells: for the mask of a whole picture.
struct Plane {
    unsigned char *data;
    long long pitch;
    int step;  // bytes from sample to sample
    int width, height;
    int cells_x, cells_y;
    int first_cell;   // of all planes' cells
    int first_slice;  // of all planes' slices
    int slices;       // parts into which a cell is cut, one warp each
};

const int WARP = 32;
const int NEUTRAL_CHROMA = 128;

// Cell k of `length` units in `cells` cells starts here: effects.axis().edges. Sides of pictures are
// at most 2^14, cells at least 12 pixels wide: nothing here needs 64 bits.
__device__ inline int cell_edge(int k, int length, int cells) {
    return (int)((unsigned int)k * length / cells);
}

// The cell in which a unit lies, the inverse of cell_edge: effects.axis().index.
__device__ inline int cell_of(int unit, int length, int cells) {
    return (int)(((unsigned int)(unit + 1) * cells - 1) / length);
}

// The last of `count` things that starts at or before `item`: things without any items are skipped.
template <typename Thing>
__device__ inline int owner_of(int item, const Thing *things, int count, int Thing::*first) {
    int low = 0, high = count;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (things[middle].*first <= item) low = middle;
        else high = middle;
    }
    return low;
}

// Sums of one cell's samples while its slices arrive in any order; all zero before the first.
struct Sums {
    unsigned long long total[3];
    unsigned int arrived;
    unsigned int spare;
};

__device__ inline unsigned int mean_of(unsigned long long sum, unsigned int area) {
    // Halves rounded up. 64-bit division takes four times as long.
    sum += area / 2;
    return sum >> 32 ? (unsigned int)(sum / area) : (unsigned int)sum / area;
}

// Add a warp's sums to its cell's. True, with the whole cell's sums, for the slice that came last.
// Integers: the result does not depend on the order. Called by one lane.
__device__ inline bool add_slice(Sums *cell, const unsigned int *part, int channels, int slices,
                                 unsigned long long *whole) {
    if (slices == 1) {
        for (int k = 0; k < channels; k++) whole[k] = part[k];
        return true;
    }
    for (int k = 0; k < channels; k++) atomicAdd(&cell->total[k], (unsigned long long)part[k]);
    __threadfence();  // the sums are seen before the arrival is
    if (atomicAdd(&cell->arrived, 1u) + 1 < (unsigned int)slices) return false;
    __threadfence();
    for (int k = 0; k < channels; k++) whole[k] = atomicAdd(&cell->total[k], 0ull);
    return true;
}
