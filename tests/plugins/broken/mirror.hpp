#pragma once
/// \file What a fixture lets a test see from inside a plugin, by query of its solver.

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "zstar/abi/object.hpp"
#include "zstar/abi/state.hpp"

namespace fixture {

using torch::Tensor;

class Mirror {
 public:
  static constexpr std::string_view id = "fixture.mirror/1";

  virtual int factor() = 0;                              ///< another one in each library
  virtual Tensor scaled(const Tensor& x) = 0;            ///< factor · x by an autograd::Function
  virtual bool is_own_class(zstar::Object& object) = 0;  ///< dynamic_cast to the solver's class
  virtual void fail(const std::string& how) = 0;         ///< throws: "check", "value", "range", "own", "integer"

  virtual Tensor random(std::int64_t n) = 0;
  virtual bool records_gradients() = 0;
  virtual bool autocasts() = 0;
  virtual int threads() = 0;

  virtual std::function<int()> function() = 0;
  virtual std::shared_ptr<int> pointer() = 0;  ///< with a deleter of the library
  virtual std::exception_ptr exception() = 0;
  virtual const char* literal() = 0;
  virtual Tensor blob() = 0;                   ///< with a deleter of the library

 protected:
  ~Mirror() = default;
};

}  // namespace fixture
