// The kernels of training on a GPU: everything of a window but the matrix products, which are cuBLAS's.
//
// NVRTC compiles this text at start; the tests compile the same text as C++ and run blocks one after another. Hence
// the words in capitals, which either side defines before: KERNEL, FUNCTION, SHARED, BLOCK (its number), THREADS (of a
// block), EACH_THREAD (a phase, in which `thread` is the number within the block) and SYNC between phases. What lives
// longer than a phase is SHARED. No warp intrinsics, and no atomics: the same input gives the same bits.
//
// Rows are time-major, `t * batch + b`; matrices are row-major. A mask is as long as what it multiplies or is repeated
// until that ends; a null pointer stands for no mask.

#define LARGE 3.402823466e38f

FUNCTION float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

FUNCTION float kept(const float *mask, int at, int length) { return mask ? mask[at % length] : 1.0f; }

// Brings the numbers of a block's threads together: in `values[0]`, the greatest or the sum.
FUNCTION void reduce(float *values, int greatest) {
    SYNC;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        EACH_THREAD {
            if (thread < half) {
                float a = values[thread], b = values[thread + half];
                values[thread] = greatest ? fmaxf(a, b) : a + b;
            }
        }
        SYNC;
    }
}

KERNEL zero(float *to, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) to[at] = 0.0f;
    }
}

// `to` may be `from`.
KERNEL masked(float *to, const float *from, const float *mask, int mask_length, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) to[at] = from[at] * kept(mask, at, mask_length);
    }
}

KERNEL add_masked(float *to, const float *from, const float *mask, int mask_length, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) to[at] += from[at] * kept(mask, at, mask_length);
    }
}

// sums [blocks]: of the squares of `numbers`, to be summed up.
KERNEL squares(float *sums, const float *numbers, int blocks, int total) {
    SHARED float values[THREADS];
    EACH_THREAD {
        float sum = 0.0f;
        for (int at = BLOCK * THREADS + thread; at < total; at += blocks * THREADS) sum += numbers[at] * numbers[at];
        values[thread] = sum;
    }
    reduce(values, 0);
    EACH_THREAD {
        if (thread == 0) sums[BLOCK] = values[0];
    }
}

// The update rules, as `optimizer.rs` has them.
KERNEL sgd(float *parameters, const float *gradient, float shrink, float step, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) parameters[at] = shrink * parameters[at] - step * gradient[at];
    }
}

KERNEL adam(float *parameters, const float *gradient, float *first, float *second, float beta1, float beta2,
            float rest1, float rest2, float scale, float l2, float keep, float step, float root_correction,
            float epsilon, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            float p = parameters[at], g = scale * gradient[at] + l2 * p;
            float m = beta1 * first[at] + rest1 * g, v = beta2 * second[at] + rest2 * g * g;
            first[at] = m, second[at] = v;
            parameters[at] = keep * p - step * m / (sqrtf(v) * root_correction + epsilon);
        }
    }
}

// out [rows, width]: the rows of `matrix` that the tokens name, times the masks of their words and of the places.
KERNEL embed(float *out, const float *matrix, const int *tokens, const float *words, const float *mask,
             int mask_length, int width, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            int token = tokens[at / width];
            float x = matrix[token * width + at % width] * (words ? words[token] : 1.0f);
            out[at] = x * kept(mask, at, mask_length);
        }
    }
}

// One block for each row: type `types[BLOCK]`, or none where that is negative, has the rows
// `order[starts[BLOCK]..starts[BLOCK + 1]]` of `d` [rows, width], whose sum is its row of the gradient.
KERNEL embedding_gradient(float *gradient, const float *d, const float *words, const int *types, const int *starts,
                          const int *order, int width, int add) {
    int type = types[BLOCK];
    if (type >= 0) {
        EACH_THREAD {
            for (int u = thread; u < width; u += THREADS) {
                float sum = 0.0f;
                for (int i = starts[BLOCK]; i < starts[BLOCK + 1]; i++) sum += d[order[i] * width + u];
                sum *= words ? words[type] : 1.0f;
                float *to = gradient + type * width + u;
                *to = add ? *to + sum : sum;
            }
        }
    }
}

// The steps of a cell for all streams at once, as `cell.rs` has them. gates [batch, blocks * hidden] hold the
// products, without bias, and hold the gates afterwards; the rest is [batch, hidden]; total = batch * hidden.
KERNEL lstm_forward(float *gates, const float *bias, const float *before, float *memory, float *squashed,
                    float *output, int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            int u = at % hidden;
            float *row = gates + at / hidden * 4 * hidden + u;
            const float *b = bias + u;
            float i = sigmoid(row[0] + b[0]), f = sigmoid(row[hidden] + b[hidden]);
            float g = tanhf(row[2 * hidden] + b[2 * hidden]), o = sigmoid(row[3 * hidden] + b[3 * hidden]);
            float c = f * before[at] + i * g;
            float s = tanhf(c);
            row[0] = i, row[hidden] = f, row[2 * hidden] = g, row[3 * hidden] = o;
            memory[at] = c, squashed[at] = s, output[at] = o * s;
        }
    }
}

KERNEL cifg_forward(float *gates, const float *bias, const float *before, float *memory, float *squashed,
                    float *output, int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            int u = at % hidden;
            float *row = gates + at / hidden * 3 * hidden + u;
            const float *b = bias + u;
            float f = sigmoid(row[0] + b[0]), g = tanhf(row[hidden] + b[hidden]);
            float o = sigmoid(row[2 * hidden] + b[2 * hidden]);
            float c = f * before[at] + (1.0f - f) * g;
            float s = tanhf(c);
            row[0] = f, row[hidden] = g, row[2 * hidden] = o;
            memory[at] = c, squashed[at] = s, output[at] = o * s;
        }
    }
}

// `before` is the output before; it keeps no memory.
KERNEL gru_forward(float *gates, const float *bias, const float *before, float *memory, float *squashed,
                   float *output, int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            int u = at % hidden;
            float *row = gates + at / hidden * 4 * hidden + u;
            const float *b = bias + u;
            float r = sigmoid(row[0] + b[0]), z = sigmoid(row[hidden] + b[hidden]);
            float recurrent = row[3 * hidden] + b[3 * hidden];
            float n = tanhf(row[2 * hidden] + b[2 * hidden] + r * recurrent);
            row[0] = r, row[hidden] = z, row[2 * hidden] = n, row[3 * hidden] = recurrent;
            output[at] = (1.0f - z) * n + z * before[at];
        }
    }
}

// The steps back: gates become the gradients of the pre-activations, `carry` that of the memory before.
KERNEL lstm_backward(float *gates, const float *before, const float *squashed, const float *d_output, float *carry,
                     int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            float *row = gates + at / hidden * 4 * hidden + at % hidden;
            float i = row[0], f = row[hidden], g = row[2 * hidden], o = row[3 * hidden];
            float dh = d_output[at], s = squashed[at];
            float dc = carry[at] + dh * o * (1.0f - s * s);
            row[0] = dc * g * i * (1.0f - i);
            row[hidden] = dc * before[at] * f * (1.0f - f);
            row[2 * hidden] = dc * i * (1.0f - g * g);
            row[3 * hidden] = dh * s * o * (1.0f - o);
            carry[at] = dc * f;
        }
    }
}

KERNEL cifg_backward(float *gates, const float *before, const float *squashed, const float *d_output, float *carry,
                     int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            float *row = gates + at / hidden * 3 * hidden + at % hidden;
            float f = row[0], g = row[hidden], o = row[2 * hidden];
            float dh = d_output[at], s = squashed[at];
            float dc = carry[at] + dh * o * (1.0f - s * s);
            row[0] = dc * (before[at] - g) * f * (1.0f - f);
            row[hidden] = dc * (1.0f - f) * (1.0f - g * g);
            row[2 * hidden] = dh * s * o * (1.0f - o);
            carry[at] = dc * f;
        }
    }
}

// `carry` becomes the part of the gradient of the output before that bypasses the gates.
KERNEL gru_backward(float *gates, const float *before, const float *squashed, const float *d_output, float *carry,
                    int hidden, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            float *row = gates + at / hidden * 4 * hidden + at % hidden;
            float r = row[0], z = row[hidden], n = row[2 * hidden], recurrent = row[3 * hidden];
            float dh = d_output[at];
            float dn = dh * (1.0f - z) * (1.0f - n * n);
            row[0] = dn * recurrent * r * (1.0f - r);
            row[hidden] = dh * (before[at] - n) * z * (1.0f - z);
            row[2 * hidden] = dn;
            row[3 * hidden] = dn * r;
            carry[at] = dh * z;
        }
    }
}

// sums [columns] of `rows` rows, each `columns` wide; a block takes 32 columns, eight threads each.
KERNEL column_sums(float *sums, const float *rows_of, int rows, int columns, int add) {
    SHARED float parts[THREADS];
    EACH_THREAD {
        int column = BLOCK * 32 + thread % 32;
        float sum = 0.0f;
        if (column < columns) {
            for (int row = thread / 32; row < rows; row += THREADS / 32) sum += rows_of[row * columns + column];
        }
        parts[thread] = sum;
    }
    SYNC;
    EACH_THREAD {
        int column = BLOCK * 32 + thread;
        if (thread < 32 && column < columns) {
            float sum = add ? sums[column] : 0.0f;
            for (int i = thread; i < THREADS; i += 32) sum += parts[i];
            sums[column] = sum;
        }
    }
}

// The log-sum-exp of `factor * (row + bias)` over the vocabulary, in `values[0]`; bias may be null.
FUNCTION void log_sum_exp(float *values, const float *row, const float *bias, int vocabulary, float factor) {
    SHARED float top[1];
    EACH_THREAD {
        float most = -LARGE;
        for (int v = thread; v < vocabulary; v += THREADS)
            most = fmaxf(most, factor * (row[v] + (bias ? bias[v] : 0.0f)));
        values[thread] = most;
    }
    reduce(values, 1);
    EACH_THREAD {
        if (thread == 0) top[0] = values[0];
    }
    SYNC;
    EACH_THREAD {
        float sum = 0.0f;
        for (int v = thread; v < vocabulary; v += THREADS)
            sum += expf(factor * (row[v] + (bias ? bias[v] : 0.0f)) - top[0]);
        values[thread] = sum;
    }
    reduce(values, 0);
    EACH_THREAD {
        if (thread == 0) values[0] = top[0] + logf(values[0]);
    }
    SYNC;
}

// One block a token. logits [rows, vocabulary], without bias, become `scale` times the gradient of the loss by them;
// losses [rows] are the negative log-likelihoods in nats. With the augmented loss `near` [rows, vocabulary] are the
// products of the target's embedding with all others, `weight` and `inverse` the loss's weight and 1 / temperature.
KERNEL softmax_gradient(float *logits, const float *bias, const float *near_target, const int *targets,
                        float *losses, int vocabulary, float scale, float weight, float inverse) {
    SHARED float all[THREADS];
    SHARED float tempered[THREADS];
    SHARED float soft[THREADS];
    float *row = logits + BLOCK * vocabulary;
    const float *near_row = near_target ? near_target + BLOCK * vocabulary : 0;
    int target = targets[BLOCK];
    log_sum_exp(all, row, bias, vocabulary, 1.0f);
    if (near_row) {
        log_sum_exp(tempered, row, bias, vocabulary, inverse);
        log_sum_exp(soft, near_row, 0, vocabulary, inverse);
    }
    EACH_THREAD {
        if (thread == 0) losses[BLOCK] = all[0] - (row[target] + bias[target]);
    }
    SYNC;
    EACH_THREAD {
        for (int v = thread; v < vocabulary; v += THREADS) {
            float z = row[v] + bias[v];
            float d = expf(z - all[0]) - (v == target ? 1.0f : 0.0f);
            if (near_row) d += weight * (expf(inverse * z - tempered[0]) - expf(inverse * near_row[v] - soft[0]));
            row[v] = scale * d;
        }
    }
}

// One block a token: its loss, and its rank as the number of other types at least as likely; a logit that is not a
// number ranks last.
KERNEL softmax_rank(const float *logits, const float *bias, const int *targets, float *losses, float *ranks,
                    int vocabulary) {
    SHARED float values[THREADS];
    const float *row = logits + BLOCK * vocabulary;
    int target = targets[BLOCK];
    float own = row[target] + bias[target];
    log_sum_exp(values, row, bias, vocabulary, 1.0f);
    EACH_THREAD {
        if (thread == 0) losses[BLOCK] = values[0] - own;
    }
    SYNC;
    EACH_THREAD {
        float above = 0.0f;
        for (int v = thread; v < vocabulary; v += THREADS)
            if (v != target && !(row[v] + bias[v] < own)) above += 1.0f;
        values[thread] = above;
    }
    reduce(values, 0);
    EACH_THREAD {
        if (thread == 0) ranks[BLOCK] = values[0];
    }
}

// The way back from what left the top layer after dropout (`dropped`) to before it (`output`), with the penalties of
// both; `step` numbers make a step.
KERNEL penalise(float *d, const float *dropped, const float *mask, int mask_length, const float *output,
                float activation, float temporal, int step, int total) {
    EACH_THREAD {
        int at = BLOCK * THREADS + thread;
        if (at < total) {
            float x = (d[at] + activation * dropped[at]) * kept(mask, at, mask_length);
            if (at >= step) x += temporal * (output[at] - output[at - step]);
            if (at + step < total) x -= temporal * (output[at + step] - output[at]);
            d[at] = x;
        }
    }
}
