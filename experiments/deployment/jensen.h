/* Functions of an export folder in C: AOTInductor packages, of any number of inputs and outputs on the CPU.
 *
 *     jensen_function *decode;
 *     float z[3 * 20] = {0}, x[3 * 784];
 *     jensen_tensor in = {JENSEN_FLOAT32, 2, {3, 20}, z, sizeof z};
 *     jensen_tensor out = {.data = x, .bytes = sizeof x};
 *     if (jensen_create("decode.pt2", NULL, 1, &decode) != JENSEN_OK) puts(jensen_error());
 *     if (jensen_run(decode, &in, 1, &out, 1) != JENSEN_OK) puts(jensen_error());
 *     jensen_free(decode);
 *
 * Every call gives a code; the text of the last failure is the calling thread's own. One function may be run by several
 * threads: as many at once as it has runners, the others wait.
 */
#ifndef JENSEN_H
#define JENSEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JENSEN_AXES 8

typedef enum { JENSEN_FLOAT32 = 0, JENSEN_FLOAT64 = 1, JENSEN_INT64 = 2 } jensen_dtype;

typedef enum {
  JENSEN_OK = 0,
  JENSEN_ARGUMENT = 1, /* a null pointer, a number or a shape that cannot be */
  JENSEN_DIGEST = 2,   /* the file's sha256 is another: nothing of it was loaded */
  JENSEN_LOAD = 3,     /* no file, no package, or one of another machine */
  JENSEN_RUN = 4,      /* inputs that the function refuses */
  JENSEN_ROOM = 5      /* outputs larger than their memory; `bytes` says what they take */
} jensen_code;

/* Contiguous memory of the caller's. As an output: data and bytes are its room, the rest is written by jensen_run. */
typedef struct {
  int32_t dtype;
  int32_t rank;
  int64_t shape[JENSEN_AXES];
  void *data;
  size_t bytes;
} jensen_tensor;

typedef struct jensen_function jensen_function;

/* A package by its path. sha256: of its file as the manifest has it, 64 hexadecimal digits, or NULL to trust the path. */
int jensen_create(const char *path, const char *sha256, int runners, jensen_function **made);

/* Outputs are copied into the caller's memory. After a failure their data are undefined. */
int jensen_run(jensen_function *function, const jensen_tensor *inputs, int n_inputs, jensen_tensor *outputs,
               int n_outputs);

/* NULL is allowed. */
void jensen_free(jensen_function *function);

/* The calling thread's last failure, until its next call; "" before the first. */
const char *jensen_error(void);

#ifdef __cplusplus
}
#endif

#endif
