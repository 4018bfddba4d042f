// What the words of kernels.cu mean in C++, where blocks run one after another, for the tests.
#include <cmath>
#include <utility>
#define THREADS 256
#define KERNEL static void
#define FUNCTION static
#define SHARED
#define BLOCK current_block
#define EACH_THREAD for (int thread = 0; thread < THREADS; thread++)
#define SYNC

static thread_local int current_block;

template <typename... Arguments, std::size_t... Places>
static void run(void (*kernel)(Arguments...), int blocks, void **arguments, std::index_sequence<Places...>) {
    for (current_block = 0; current_block < blocks; current_block++) kernel(*(Arguments *)arguments[Places]...);
}

template <typename... Arguments> static void run(void (*kernel)(Arguments...), int blocks, void **arguments) {
    run(kernel, blocks, arguments, std::index_sequence_for<Arguments...>());
}
