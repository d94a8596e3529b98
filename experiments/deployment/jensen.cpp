// jensen.h over libtorch's loader of AOTInductor packages. No exception leaves it.

#include "jensen.h"

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <ATen/ops/from_blob.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

struct jensen_function {
  torch::inductor::AOTIModelPackageLoader loader;
};

namespace {

thread_local std::string last;

int failed(jensen_code code, const std::string &text) {
  last = text.substr(0, text.find('\n'));
  return code;
}

constexpr at::ScalarType TYPES[] = {at::kFloat, at::kDouble, at::kLong};

// SHA-256 (FIPS 180-4), of a stream.
class Sha256 {
 public:
  void update(const unsigned char *bytes, size_t count) {
    total_ += count;
    for (size_t i = 0; i < count; i++) {
      block_[filled_++] = bytes[i];
      if (filled_ == 64) mix();
    }
  }

  std::string hex() {
    const uint64_t bits = total_ * 8;
    const unsigned char one = 0x80, zero = 0;
    update(&one, 1);
    while (filled_ != 56) update(&zero, 1);
    for (int i = 7; i >= 0; i--) block_[filled_++] = static_cast<unsigned char>(bits >> (8 * i));
    mix();
    std::string text;
    for (uint32_t word : state_) {
      std::array<char, 9> part;
      std::snprintf(part.data(), part.size(), "%08x", word);
      text += part.data();
    }
    return text;
  }

 private:
  static uint32_t turned(uint32_t x, int by) { return (x >> by) | (x << (32 - by)); }

  void mix() {
    static const uint32_t K[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
      w[i] = uint32_t(block_[4 * i]) << 24 | uint32_t(block_[4 * i + 1]) << 16 | uint32_t(block_[4 * i + 2]) << 8 |
             uint32_t(block_[4 * i + 3]);
    for (int i = 16; i < 64; i++)
      w[i] = w[i - 16] + w[i - 7] + (turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ (w[i - 15] >> 3)) +
             (turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ (w[i - 2] >> 10));
    auto [a, b, c, d, e, f, g, h] = state_;
    for (int i = 0; i < 64; i++) {
      const uint32_t x = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
      const uint32_t y = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + x, d = c, c = b, b = a, a = x + y;
    }
    const std::array<uint32_t, 8> mixed = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) state_[i] += mixed[i];
    filled_ = 0;
  }

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_{};
  size_t filled_ = 0;
  uint64_t total_ = 0;
};

std::string digest(std::FILE *file) {
  Sha256 sum;
  std::vector<unsigned char> part(1 << 16);
  for (size_t read; (read = std::fread(part.data(), 1, part.size(), file)) > 0;) sum.update(part.data(), read);
  return sum.hex();
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE *)>;

at::Tensor wrapped(const jensen_tensor &input) {
  return at::from_blob(input.data, at::IntArrayRef(input.shape, input.rank), TYPES[input.dtype]);
}

std::string fault(const jensen_tensor &input) {
  if (input.dtype < 0 || input.dtype > 2) return "expected a dtype of jensen_dtype, got " + std::to_string(input.dtype);
  if (input.rank < 0 || input.rank > JENSEN_AXES) return "expected a rank up to 8, got " + std::to_string(input.rank);
  if (input.data == nullptr) return "expected data, got NULL";
  size_t bytes = input.dtype == JENSEN_FLOAT32 ? 4 : 8;
  for (int i = 0; i < input.rank; i++) {
    if (input.shape[i] < 1) return "expected lengths of 1 or more, got " + std::to_string(input.shape[i]);
    if (__builtin_mul_overflow(bytes, size_t(input.shape[i]), &bytes)) return "the shape is larger than any memory";
  }
  if (bytes != input.bytes)
    return "expected " + std::to_string(bytes) + " bytes for the shape, got " + std::to_string(input.bytes);
  return "";
}

}  // namespace

int jensen_create(const char *path, const char *sha256, int runners, jensen_function **made) try {
  if (made != nullptr) *made = nullptr;
  if (path == nullptr || made == nullptr || runners < 1)
    return failed(JENSEN_ARGUMENT, "expected a path, a place for the function and one runner or more");
  setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", 0);  // else shapes and dtypes go unchecked
  File file(std::fopen(path, "rb"), &std::fclose);
  if (!file) return failed(JENSEN_LOAD, std::string(path) + ": " + std::strerror(errno));
  std::string from = path;
  if (sha256 != nullptr) {
    if (digest(file.get()) != sha256) return failed(JENSEN_DIGEST, from + ": its sha256 is another");
#ifdef __linux__
    from = "/proc/self/fd/" + std::to_string(fileno(file.get()));  // the path may lead to another file by now
#endif
  }
  *made = new jensen_function{{from, "model", runners == 1, size_t(runners)}};
  return JENSEN_OK;
} catch (const std::exception &error) {
  return failed(JENSEN_LOAD, error.what());
} catch (...) {
  return failed(JENSEN_LOAD, "the package cannot be loaded");
}

int jensen_run(jensen_function *function, const jensen_tensor *inputs, int n_inputs, jensen_tensor *outputs,
               int n_outputs) try {
  if (function == nullptr || inputs == nullptr || outputs == nullptr || n_inputs < 1 || n_outputs < 1)
    return failed(JENSEN_ARGUMENT, "expected a function, and one input and output or more");
  std::vector<at::Tensor> given;
  for (int i = 0; i < n_inputs; i++) {
    const std::string wrong = fault(inputs[i]);
    if (!wrong.empty()) return failed(JENSEN_ARGUMENT, "input " + std::to_string(i) + ": " + wrong);
    given.push_back(wrapped(inputs[i]));
  }
  const std::vector<at::Tensor> found = function->loader.run(given);
  if (found.size() != size_t(n_outputs))
    return failed(JENSEN_ARGUMENT,
                  "expected " + std::to_string(found.size()) + " outputs, got " + std::to_string(n_outputs));
  int code = JENSEN_OK;
  for (int i = 0; i < n_outputs; i++) {
    const at::Tensor tensor = found[i].contiguous();
    jensen_tensor &out = outputs[i];
    if (tensor.dim() > JENSEN_AXES) return failed(JENSEN_RUN, "an output has more than 8 axes");
    out.dtype = int32_t(std::find(std::begin(TYPES), std::end(TYPES), tensor.scalar_type()) - std::begin(TYPES));
    if (out.dtype > JENSEN_INT64) return failed(JENSEN_RUN, "an output has a dtype that jensen_dtype lacks");
    out.rank = int32_t(tensor.dim());
    for (int axis = 0; axis < out.rank; axis++) out.shape[axis] = tensor.size(axis);
    const size_t room = out.bytes;
    out.bytes = tensor.nbytes();
    if (out.data == nullptr || room < out.bytes) {
      code = failed(JENSEN_ROOM, "output " + std::to_string(i) + " takes " + std::to_string(out.bytes) +
                                     " bytes, got room for " + std::to_string(room));
      continue;
    }
    std::memcpy(out.data, tensor.const_data_ptr(), out.bytes);
  }
  return code;
} catch (const std::exception &error) {
  return failed(JENSEN_RUN, error.what());
} catch (...) {
  return failed(JENSEN_RUN, "the function cannot be run");
}

void jensen_free(jensen_function *function) { delete function; }

const char *jensen_error(void) { return last.c_str(); }
