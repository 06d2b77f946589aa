#pragma once
/// \file Matrices of SciPy and tables of NumPy as Python 2 pickles them, for tests of what reads them.

#include <cstdint>
#include <string>
#include <vector>

#include "zstar/formats/torch_file.hpp"

namespace zstar::test {

template <class T>
std::string raw(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}

/// \param type  NumPy's word for its numbers, without the order of bytes \param data  the numbers
inline std::string array(const std::string& type, const std::string& data, std::vector<std::int64_t> shape) {
  formats::PickleWriter w;
  w.global("numpy.core.multiarray", "_reconstruct").raw("(").global("numpy", "ndarray").tuple({0}).text("b").raw("tR(").integer(1).tuple(shape);
  w.global("numpy", "dtype").raw("(").text(type).integer(0).integer(1).raw("tR(").integer(3).text("<").raw("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff").integer(0).raw("tb\x89").text(data).raw("tb");
  return w.bytes();
}

/// A matrix in compressed rows.
inline std::string csr(const std::vector<float>& values, const std::vector<std::int32_t>& columns, const std::vector<std::int32_t>& starts, std::int64_t width) {
  formats::PickleWriter w;
  const auto n = static_cast<std::int64_t>(values.size());
  w.raw("\x80\x02").global("scipy.sparse.csr", "csr_matrix").raw(")\x81}(").text("_shape").tuple({static_cast<std::int64_t>(starts.size()) - 1, width});
  w.text("data").raw(array("f4", raw(values), {n})).text("indices").raw(array("i4", raw(columns), {n})).text("indptr").raw(array("i4", raw(starts), {static_cast<std::int64_t>(starts.size())}));
  return w.raw("ub.").bytes();
}

/// Rows of two numbers, one-hot labels say.
inline std::string table(const std::vector<std::int32_t>& v, std::int64_t n) { return "\x80\x02" + array("i4", raw(v), {n, 2}) + "."; }

/// Nodes and their neighbours, {0: [1], 4: [0, 2]}.
inline std::string small_graph() {
  formats::PickleWriter w;
  w.raw("\x80\x02").global("collections", "defaultdict").global("__builtin__", "list").raw("\x85R(").integer(0).raw("]").integer(1).raw("a").integer(4).raw("](").integer(0).integer(2).raw("eu.");
  return w.bytes();
}

}  // namespace zstar::test
