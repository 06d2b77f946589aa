#pragma once
/// \file What host and plugin hand to one another: objects, option values and tables, factories.
/// Everything here is part of the plugin ABI; see docs/plugins.md before changing a line.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace zstar {

inline constexpr std::uint32_t abi_major = 1;
inline constexpr std::uint32_t abi_minor = 0;

/// The kinds of parts. Values are written into files and never reused.
enum class Kind : std::uint32_t { solver = 0, gradient = 1, norm = 2, regularizer = 3, model = 4, dataset = 5 };

/// Base of every object that crosses the boundary. New abilities are asked for by id, never added as virtual functions.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  /// The interface of that id (for example InverseJacobian::id), or null. The pointer lives as long as the object.
  virtual void* query(std::string_view /*id*/) { return nullptr; }
};

/// object->query(T::id) with its type.
template <class T>
T* query(Object& object) {
  return static_cast<T*>(object.query(T::id));
}

struct Part;

/// A value of an option. monostate: not set (an optional option). vector<Part>: parts named in a table of their own.
using OptValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                              std::vector<double>, std::vector<std::string>, std::vector<Part>>;

struct Setting {
  std::string name;
  OptValue value;
};
using Settings = std::vector<Setting>;

/// A part by name, with the settings of its options; for options whose value is itself a part.
struct Part {
  std::string name;
  Settings settings;
};

enum class OptType : std::uint32_t { boolean, integer, real, text, integers, reals, texts, part, parts };

/// One declared option: the single source for validation, help, schema and documentation.
struct OptSpec {
  std::string name, doc;
  std::string unit;                  ///< "seconds", "bytes"; empty: a pure number
  OptType type = OptType::boolean;
  bool optional = false;             ///< may stay unset; `def` is then monostate
  OptValue def;
  double low = 0, high = 0;          ///< of numbers; infinite where there is no bound
  bool open_low = false, open_high = false;
  std::vector<std::string> choices;  ///< of texts; empty: any
  Kind part_kind = Kind::solver;     ///< of part and parts
};

class Host;

/// One part that a library offers; constant for the life of the process.
struct Factory {
  std::uint32_t struct_size;
  Kind kind;
  const char* name;
  const char* doc;
  std::vector<OptSpec> (*options)();
  Object* (*create)(const Settings&, Host&);  ///< the caller owns the result
  const Factory* next;
};

/// Filled by `zstar_plugin_entry`.
struct Table {
  std::uint32_t struct_size;
  std::uint32_t abi_major, abi_minor;
  const Factory* first;
};

}  // namespace zstar
