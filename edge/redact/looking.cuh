// What detectors and the motion estimator are shown of a picture: small, converted in one step.

#ifdef __CUDA_ARCH__
__device__ inline unsigned short float16_bits(float value) {
    unsigned short bits;  // to the nearest, halves to even; cuda_fp16.h is not always at hand
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#else
__device__ unsigned short float16_bits(float value);
#endif

// One detector's input: planar (3, height, width), float32 or float16, the picture scaled into a part
// of it. A value is sample * scale + bias, sample an RGB level 0..255.
struct Target {
    void *out;
    int width, height;
    int left, top, inner_width, inner_height;  // where the picture lies
    int half;                                  // float16 instead of float32
    int channel[3];                            // 0, 1, 2 for R, G, B: what goes into each plane
    float scale[3], bias[3], border[3];        // of each plane; border in the output's values
    int spare;
};

// luma_gain * (Y - luma_zero) + ...: from the picture's matrix and range.
struct Colour {
    float luma_zero, luma_gain, red_v, green_u, green_v, blue_u;
};

// How much of source samples [first, last] lies in output sample `at`: all of it but at both ends.
struct Footprint {
    float from, to;
    int first, last;
    __device__ Footprint(int at, int length, int count) {
        from = edge(at, length, count);
        to = edge(at + 1, length, count);
        first = (int)from;
        last = (int)ceilf(to) - 1;
        if (last > length - 1) last = length - 1;
    }
    // at * length / count, exact in its whole part: neighbours share it, the last one ends the line.
    __device__ static float edge(unsigned int at, unsigned int length, unsigned int count) {
        unsigned int whole = at * length / count;
        return (float)whole + (float)(at * length - whole * count) / (float)count;
    }
    __device__ float weight(int i) const {
        return fminf(to, (float)(i + 1)) - fmaxf(from, (float)i);
    }
};

// The mean over a footprint, rounded to a level as a scaler's 8-bit picture would hold it.
__device__ inline float mean_over(const unsigned char *data, long long pitch, int step,
                                  const Footprint &across, const Footprint &down) {
    float sum = 0;
    for (int y = down.first; y <= down.last; y++) {
        float line = 0;
        for (int x = across.first; x <= across.last; x++)
            line += across.weight(x) * data[y * pitch + (long long)x * step];
        sum += down.weight(y) * line;
    }
    return floorf(sum / ((across.to - across.from) * (down.to - down.from)) + 0.5f);
}

__device__ inline float clamped(float level) {
    return fminf(fmaxf(floorf(level + 0.5f), 0.0f), 255.0f);
}

// One thread four values of each plane that share a chroma sample. blockIdx.z is the target. U and V
// are taken from the nearest sample of a picture scaled to inner_width x inner_height as 4:2:0.
extern "C" __global__ void detector_inputs(Planes p, Colour colour, const Target *targets) {
    const Target &t = targets[blockIdx.z];
    int outer_x = t.left + (t.left & 1), outer_y = t.top + (t.top & 1);  // quads begin at even ones
    int quad_x = 2 * (int)(blockIdx.x * blockDim.x + threadIdx.x) - outer_x;
    int quad_y = 2 * (int)(blockIdx.y * blockDim.y + threadIdx.y) - outer_y;
    bool inside = quad_x >= 0 && quad_x < t.inner_width && quad_y >= 0 && quad_y < t.inner_height;
    float u = 0, v = 0;
    if (inside) {
        Footprint across(quad_x / 2, p.width / 2, (t.inner_width + 1) / 2);
        Footprint down(quad_y / 2, p.height / 2, (t.inner_height + 1) / 2);
        u = mean_over(p.u, p.chroma_pitch, p.chroma_step, across, down) - NEUTRAL_CHROMA;
        v = mean_over(p.v, p.chroma_pitch, p.chroma_step, across, down) - NEUTRAL_CHROMA;
    }
    for (int k = 0; k < 4; k++) {
        int x = quad_x + k % 2, y = quad_y + k / 2;
        int column = x + t.left, row = y + t.top;
        if (column < 0 || column >= t.width || row < 0 || row >= t.height) continue;
        bool shown = inside && x < t.inner_width && y < t.inner_height;
        float rgb[3] = {0, 0, 0};
        if (shown) {
            Footprint across(x, p.width, t.inner_width), down(y, p.height, t.inner_height);
            float luma = colour.luma_gain *
                         (mean_over(p.y, p.y_pitch, 1, across, down) - colour.luma_zero);
            rgb[0] = clamped(luma + colour.red_v * v);
            rgb[1] = clamped(luma + colour.green_u * u + colour.green_v * v);
            rgb[2] = clamped(luma + colour.blue_u * u);
        }
        for (int plane = 0; plane < 3; plane++) {
            float value = shown ? rgb[t.channel[plane]] * t.scale[plane] + t.bias[plane]
                                : t.border[plane];
            long long at = ((long long)plane * t.height + row) * t.width + column;
            if (t.half) ((unsigned short *)t.out)[at] = float16_bits(value);
            else ((float *)t.out)[at] = value;
        }
    }
}

// The luma picture on which motion is estimated: out is (height, width), without padding.
extern "C" __global__ void shrink_luma(Planes p, unsigned char *out, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    Footprint across(x, p.width, width), down(y, p.height, height);
    out[y * width + x] = (unsigned char)mean_over(p.y, p.y_pitch, 1, across, down);
}

// Sum of |now - before carried along a motion| over two (height, width) pictures without padding.
// back maps pixels of `now` to those of `before`: x' = back[0] x + back[1] y + back[2], and so on;
// over the border its last pixels go on. *sum is zero before.
struct Affine {
    float back[6];
};

extern "C" __global__ void luma_difference(const unsigned char *before, const unsigned char *now,
                                           int width, int height, Affine motion,
                                           unsigned long long *sum) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned int difference = 0;
    if (at < width * height) {
        const float *m = motion.back;
        int column = at % width, row = at / width;
        float x = m[0] * column + m[1] * row + m[2], y = m[3] * column + m[4] * row + m[5];
        x = fminf(fmaxf(x, 0.0f), (float)(width - 1));
        y = fminf(fmaxf(y, 0.0f), (float)(height - 1));
        int x0 = (int)x, y0 = (int)y;
        int x1 = x0 + 1 < width ? x0 + 1 : x0, y1 = y0 + 1 < height ? y0 + 1 : y0;
        float fx = x - x0, fy = y - y0;
        float above = before[y0 * width + x0] * (1 - fx) + before[y0 * width + x1] * fx;
        float below = before[y1 * width + x0] * (1 - fx) + before[y1 * width + x1] * fx;
        int carried = (int)floorf(above * (1 - fy) + below * fy + 0.5f);
        difference = abs(carried - (int)now[at]);
    }
    difference = __reduce_add_sync(~0u, difference);
    if (threadIdx.x % WARP == 0) atomicAdd(sum, (unsigned long long)difference);
}
