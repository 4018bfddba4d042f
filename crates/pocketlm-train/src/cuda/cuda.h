// What the words of kernels.cu mean on a GPU.
#define THREADS 256
#define KERNEL extern "C" __global__ void
#define FUNCTION __device__ static
#define SHARED __shared__
#define BLOCK ((int)blockIdx.x)
#define EACH_THREAD for (int thread = threadIdx.x, once = 1; once; once = 0)
#define SYNC __syncthreads()
