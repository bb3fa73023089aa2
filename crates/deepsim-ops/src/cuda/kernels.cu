// Compiled at run time by NVRTC, which has no standard headers. Counts and offsets are 32 bits
// wide: the host refuses larger tensors. Sums are taken in double precision and in an order that
// depends on shapes alone, without atomics, so that results can be repeated to the bit.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short bf16;

#define BLOCK 256
#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)
// One thread per element.
#define ELEMENT(i, n) u32 i = blockIdx.x * BLOCK + threadIdx.x; if (i >= (n)) return

__device__ float leak(float x, float slope) {
    // Written so that a NaN stays one.
    return x > 0.0f ? x : x * slope;
}

// Sum over the block, the same for all its threads.
__device__ double block_sum(double value) {
    __shared__ double part[BLOCK];
    part[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    double sum = part[0];
    __syncthreads();
    return sum;
}

// Maximum over the block; a NaN is ignored, as the sum of the exponentials will show it.
__device__ float block_max(float value) {
    __shared__ float part[BLOCK];
    part[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            part[threadIdx.x] = fmaxf(part[threadIdx.x], part[threadIdx.x + half]);
        }
        __syncthreads();
    }
    float max = part[0];
    __syncthreads();
    return max;
}

// ---- elementwise ----

KERNEL leaky(const float *x, float *y, float slope, u32 n) {
    ELEMENT(i, n);
    y[i] = leak(x[i], slope);
}

// dx of leaky; `sign` is its input or its output, which have the same sign.
KERNEL leaky_gradient(const float *sign, const float *dy, float *dx, float slope, u32 n) {
    ELEMENT(i, n);
    dx[i] = sign[i] > 0.0f ? dy[i] : dy[i] * slope;
}

KERNEL multiply(const float *a, const float *b, float *product, u32 n) {
    ELEMENT(i, n);
    product[i] = a[i] * b[i];
}

// y = leaky(y + bias[channel]) in place; `bias` may be null.
KERNEL finish(float *y, const float *bias, float slope, u32 channels, u32 plane, u32 n) {
    ELEMENT(i, n);
    float value = bias ? y[i] + bias[i / plane % channels] : y[i];
    y[i] = leak(value, slope);
}

// The same from bf16.
KERNEL finish_bf16(const bf16 *x, float *y, const float *bias, float slope, u32 channels,
                   u32 plane, u32 n) {
    ELEMENT(i, n);
    float value = __uint_as_float((u32)x[i] << 16);
    if (bias) value += bias[i / plane % channels];
    y[i] = leak(value, slope);
}

// Rounds to the nearest, ties to even.
KERNEL to_bf16(const float *x, bf16 *y, u32 n) {
    ELEMENT(i, n);
    u32 bits = __float_as_uint(x[i]);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    // Rounding could carry a NaN into infinity.
    y[i] = (bf16)(nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// ---- pooling ----

struct Pool {
    u32 h, w, oh, ow, kh, kw, sh, sw, ph, pw;
};

// Maxima, and where in its plane each came from; the first of equal values wins.
KERNEL max_pool(const float *x, float *y, u32 *from, Pool s, u32 n) {
    ELEMENT(i, n);
    u32 ox = i % s.ow, oy = i / s.ow % s.oh;
    const float *plane = x + i / (s.oh * s.ow) * (s.h * s.w);
    u32 top = oy * s.sh > s.ph ? oy * s.sh - s.ph : 0;
    u32 left = ox * s.sw > s.pw ? ox * s.sw - s.pw : 0;
    u32 bottom = min(oy * s.sh + s.kh - s.ph, s.h);
    u32 right = min(ox * s.sw + s.kw - s.pw, s.w);
    float best = __uint_as_float(0xff800000u);
    u32 at = top * s.w + left;
    for (u32 iy = top; iy < bottom; ++iy) {
        for (u32 ix = left; ix < right; ++ix) {
            float value = plane[iy * s.w + ix];
            // A NaN must not vanish: the loss check is to see it.
            if (value > best || value != value) {
                best = value;
                at = iy * s.w + ix;
            }
        }
    }
    y[i] = best;
    from[i] = at;
}

// Every input gathers from the windows that chose it, so nothing is added by two threads.
KERNEL max_pool_gradient(const float *dy, const u32 *from, float *dx, Pool s, u32 n) {
    ELEMENT(i, n);
    u32 at = i % (s.h * s.w);
    u32 plane = i / (s.h * s.w) * (s.oh * s.ow);
    u32 y = at / s.w + s.ph, x = at % s.w + s.pw;
    u32 top = y < s.kh ? 0 : (y - s.kh) / s.sh + 1, bottom = min(y / s.sh + 1, s.oh);
    u32 left = x < s.kw ? 0 : (x - s.kw) / s.sw + 1, right = min(x / s.sw + 1, s.ow);
    float sum = 0.0f;
    for (u32 oy = top; oy < bottom; ++oy) {
        for (u32 ox = left; ox < right; ++ox) {
            u32 o = plane + oy * s.ow + ox;
            if (from[o] == at) sum += dy[o];
        }
    }
    dx[i] = sum;
}

// One block per plane.
KERNEL plane_mean(const float *x, float *y, u32 plane) {
    const float *values = x + blockIdx.x * plane;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < plane; i += BLOCK) sum += values[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = (float)(sum / plane);
}

KERNEL plane_mean_gradient(const float *dy, float *dx, u32 plane, u32 n) {
    ELEMENT(i, n);
    dx[i] = dy[i / plane] / (float)plane;
}

// ---- losses ----

// Sum of what each block found, times a factor; one block.
KERNEL sum_blocks(const double *part, float *sum, double factor, u32 n) {
    double value = 0.0;
    for (u32 i = threadIdx.x; i < n; i += BLOCK) value += part[i];
    value = block_sum(value);
    if (threadIdx.x == 0) *sum = (float)(value * factor);
}

KERNEL squared_error(const float *a, const float *b, double *part, u32 n) {
    double sum = 0.0;
    for (u32 i = blockIdx.x * BLOCK + threadIdx.x; i < n; i += gridDim.x * BLOCK) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

KERNEL absolute_error(const float *a, const float *b, double *part, u32 n) {
    double sum = 0.0;
    for (u32 i = blockIdx.x * BLOCK + threadIdx.x; i < n; i += gridDim.x * BLOCK) {
        sum += fabs((double)a[i] - (double)b[i]);
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

// `gradient` is the gradient of the scalar; `sign` is -1 for the gradient to `b`.
KERNEL squared_error_gradient(const float *a, const float *b, const float *gradient, float sign,
                              float *out, u32 n) {
    ELEMENT(i, n);
    out[i] = sign * *gradient * (2.0f * (a[i] - b[i]));
}

KERNEL absolute_error_gradient(const float *a, const float *b, const float *gradient, float sign,
                               float *out, u32 n) {
    ELEMENT(i, n);
    float d = a[i] - b[i];
    // A NaN stays one.
    out[i] = sign * *gradient * (d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d);
}

// One block per row: the logarithm of the sum of exponentials, and the row's loss.
KERNEL softmax_rows(const float *logits, const u32 *labels, double *log_sum, double *loss,
                    u32 classes) {
    const float *row = logits + blockIdx.x * classes;
    float max = __uint_as_float(0xff800000u);
    for (u32 c = threadIdx.x; c < classes; c += BLOCK) max = fmaxf(max, row[c]);
    double shift = block_max(max), sum = 0.0;
    for (u32 c = threadIdx.x; c < classes; c += BLOCK) sum += exp(row[c] - shift);
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        double logarithm = log(sum);
        log_sum[blockIdx.x] = shift + logarithm;
        loss[blockIdx.x] = logarithm - (row[labels[blockIdx.x]] - shift);
    }
}

// (softmax - one-hot) * gradient / rows
KERNEL softmax_gradient(const float *logits, const u32 *labels, const double *log_sum,
                        const float *gradient, float *out, double rows, u32 classes, u32 n) {
    ELEMENT(i, n);
    u32 row = i / classes;
    double p = exp(logits[i] - log_sum[row]);
    // p - 1 in double precision: it is the small number that matters.
    if (i % classes == labels[row]) p -= 1.0;
    out[i] = (float)(p * (*gradient / rows));
}

// ---- many tensors in one launch: row `blockIdx.y` of a table for each ----

// As many as fit into a kernel's 4 KB of parameters, with room for others.
#define ROWS 64

struct Many {
    u64 a[ROWS], b[ROWS], c[ROWS], d[ROWS];
    u32 n[ROWS];
    float x[ROWS];
};

#define ROW_ELEMENTS(i, n) u32 i = blockIdx.x * BLOCK + threadIdx.x; i < (n); i += gridDim.x * BLOCK

// Whether an update may be made: every number is finite.
__device__ bool finite(const float *numbers, u32 count) {
    for (u32 i = 0; i < count; ++i) {
        if ((__float_as_uint(numbers[i]) & 0x7f800000u) == 0x7f800000u) return false;
    }
    return true;
}

struct Adam {
    float rate, beta1, beta2, rest1, rest2, epsilon;
};

// Parameters, gradients and both moments; x is the weight of the penalty. `rate`, if not null, stands for
// the one in `s`.
KERNEL adam(Many all, Adam s, const float *rate, const float *gate, u32 gates) {
    if (!finite(gate, gates)) return;
    float step = rate ? *rate : s.rate;
    float *p = (float *)all.a[blockIdx.y], *m = (float *)all.c[blockIdx.y];
    float *v = (float *)all.d[blockIdx.y];
    const float *gradient = (const float *)all.b[blockIdx.y];
    float decay = all.x[blockIdx.y];
    for (ROW_ELEMENTS(i, all.n[blockIdx.y])) {
        float g = gradient[i] + decay * p[i];
        float first = s.beta1 * m[i] + s.rest1 * g;
        float second = s.beta2 * v[i] + s.rest2 * g * g;
        m[i] = first;
        v[i] = second;
        p[i] -= step * first / (sqrtf(second) + s.epsilon);
    }
}

// a = keep * a + rest * b
KERNEL blend(Many all, float keep, float rest, const float *gate, u32 gates) {
    if (!finite(gate, gates)) return;
    float *a = (float *)all.a[blockIdx.y];
    const float *b = (const float *)all.b[blockIdx.y];
    for (ROW_ELEMENTS(i, all.n[blockIdx.y])) a[i] = a[i] * keep + b[i] * rest;
}

// a = b
KERNEL copy(Many all) {
    float *a = (float *)all.a[blockIdx.y];
    const float *b = (const float *)all.b[blockIdx.y];
    for (ROW_ELEMENTS(i, all.n[blockIdx.y])) a[i] = b[i];
}

// One number of each, side by side.
KERNEL gather(Many all, float *numbers, u32 n) {
    ELEMENT(i, n);
    numbers[i] = *(const float *)all.a[i];
}

// Σ a² in parts; `first` is the part of the first block.
KERNEL squares(Many all, double *part, u32 first) {
    const float *a = (const float *)all.a[blockIdx.y];
    double sum = 0.0;
    for (ROW_ELEMENTS(i, all.n[blockIdx.y])) sum += (double)a[i] * (double)a[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) part[first + blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// ---- dropout ----

// A random stream: key of ChaCha with 12 rounds, its number, and where in it the first sample begins.
struct Stream {
    u32 key[8];
    u64 number, word;
};

__device__ void quarter(u32 &a, u32 &b, u32 &c, u32 &d) {
    a += b; d ^= a; d = d << 16 | d >> 16;
    c += d; b ^= c; b = b << 12 | b >> 20;
    a += b; d ^= a; d = d << 8 | d >> 24;
    c += d; b ^= c; b = b << 7 | b >> 25;
}

// A mask of `each` values for every sample, `stride` words of the stream apart: 0 where the draw is below
// the threshold. `counter`, if not null, is added to the number of the stream. One thread for each 16 words.
KERNEL dropout_mask(float *mask, Stream s, const u64 *counter, u64 stride, u32 threshold, float scale,
                    u32 each, u32 n) {
    ELEMENT(i, n);
    // The first and the last block of the stream may be used in part.
    u32 blocks = (each + 30) / 16;
    u32 sample = i / blocks;
    u64 begin = s.word + sample * stride;
    u64 block = begin / 16 + i % blocks, number = s.number + (counter ? *counter : 0);
    u32 x[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
                 s.key[0], s.key[1], s.key[2], s.key[3], s.key[4], s.key[5], s.key[6], s.key[7],
                 (u32)block, (u32)(block >> 32), (u32)number, (u32)(number >> 32)};
    u32 y[16];
    #pragma unroll
    for (u32 w = 0; w < 16; ++w) y[w] = x[w];
    #pragma unroll
    for (u32 round = 0; round < 6; ++round) {
        quarter(y[0], y[4], y[8], y[12]);
        quarter(y[1], y[5], y[9], y[13]);
        quarter(y[2], y[6], y[10], y[14]);
        quarter(y[3], y[7], y[11], y[15]);
        quarter(y[0], y[5], y[10], y[15]);
        quarter(y[1], y[6], y[11], y[12]);
        quarter(y[2], y[7], y[8], y[13]);
        quarter(y[3], y[4], y[9], y[14]);
    }
    float *out = mask + (u64)sample * each;
    #pragma unroll
    for (u32 w = 0; w < 16; ++w) {
        // Before the sample's own words this is a very large number.
        u64 at = block * 16 + w - begin;
        if (at < each) out[at] = x[w] + y[w] < threshold ? 0.0f : scale;
    }
}

// ---- pictures ----

struct Planes {
    u32 from[3];
    float mean[3], scale[3];
};

// Bytes to values: planes in another order, less a mean, times a scale.
KERNEL pixels(const unsigned char *bytes, float *values, Planes s, u32 plane, u32 n) {
    ELEMENT(i, n);
    u32 channel = i / plane % 3;
    u32 from = i / (3 * plane) * (3 * plane) + s.from[channel] * plane + i % plane;
    values[i] = ((float)bytes[from] - s.mean[channel]) * s.scale[channel];
}
