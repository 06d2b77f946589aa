#pragma once
/// \file Python's pickles as plain data. Nothing is ever imported, called or built: a class, a call and what an object was given
/// are kept as names and values, for the reader to understand or to leave alone.

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "zstar/formats/files.hpp"

namespace zstar::formats {

/// One value of a pickle. Values refer to one another and may do so in circles; the Pickle owns them all.
struct Value {
  enum class Kind { none, boolean, integer, real, text, bytes, list, tuple, dict, global, object, persistent };
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;                      ///< of texts and bytes; "module.name" of a global, and of what an object was made by
  std::vector<const Value*> items;       ///< of lists and tuples; of dicts and objects: key, value, key, value (objects may also have single items)
  const Value* arguments = nullptr;      ///< of an object: the tuple that it was called with
  const Value* state = nullptr;          ///< of an object: what it was built with; of persistent: the identifier

  bool is(Kind k) const { return kind == k; }
  bool sequence() const { return kind == Kind::list || kind == Kind::tuple; }
  /// The value under a key of a dict, or of an object that was filled like one; null if there is none.
  const Value* find(std::string_view key) const {
    for (std::size_t i = 0; i + 1 < items.size(); i += 2)
      if ((items[i]->is(Kind::text) || items[i]->is(Kind::bytes)) && items[i]->text == key) return items[i + 1];
    return nullptr;
  }
  /// Whether it is an object made by this function or class.
  bool made_by(std::string_view name) const { return kind == Kind::object && text == name; }
};

/// A pickle, read. \throws FormatError  from the constructor, for bytes that are no pickle or are cut short
class Pickle {
 public:
  explicit Pickle(std::string_view bytes) : in_(bytes) { run(); }
  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;

  const Value& root() const { return *root_; }
  /// Bytes up to the end of this pickle; another may follow.
  std::size_t size() const { return at_; }
  /// All values, in the order in which they were made.
  const std::deque<Value>& values() const { return values_; }

 private:
  using Kind = Value::Kind;

  [[noreturn]] static void refuse(const std::string& what) { throw FormatError("is no sound pickle: " + what); }

  std::string_view take(std::uint64_t n) {
    if (n > in_.size() - at_) refuse("it is cut short");
    const auto part = in_.substr(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return part;
  }
  std::uint64_t number(std::size_t bytes) {
    std::uint64_t n = 0;
    const auto part = take(bytes);
    for (std::size_t i = bytes; i-- > 0;) n = n << 8 | static_cast<std::uint8_t>(part[i]);
    return n;
  }
  std::string line() {
    const auto end = in_.find('\n', at_);
    if (end == std::string_view::npos) refuse("it is cut short");
    std::string text(in_.substr(at_, end - at_));
    at_ = end + 1;
    if (!text.empty() && text.back() == '\r') text.pop_back();
    return text;
  }

  Value& make(Kind kind) {
    values_.emplace_back().kind = kind;
    return values_.back();
  }
  void push(const Value& v) { stack_.push_back(const_cast<Value*>(&v)); }
  void push_text(Kind kind, std::string text) {
    Value& v = make(kind);
    v.text = std::move(text);
    push(v);
  }
  void push_integer(std::int64_t n) {
    Value& v = make(Kind::integer);
    v.integer = n;
    push(v);
  }
  void push_real(double x) {
    Value& v = make(Kind::real);
    v.real = x;
    push(v);
  }
  void push_boolean(bool b) {
    Value& v = make(Kind::boolean);
    v.integer = b;
    push(v);
  }
  Value* pop() {
    if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size())) refuse("it takes a value that is not there");
    Value* v = stack_.back();
    stack_.pop_back();
    return v;
  }
  Value& top() {
    Value* v = pop();
    stack_.push_back(v);
    return *v;
  }
  std::vector<const Value*> pop_marked() {
    if (marks_.empty()) refuse("it takes a mark that is not there");
    std::vector<const Value*> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void push_items(Kind kind, std::vector<const Value*> items) {
    if (kind == Kind::dict && items.size() % 2 != 0) refuse("a dict has a key without a value");
    Value& v = make(kind);
    v.items = std::move(items);
    push(v);
  }
  void push_tuple(std::size_t n) {
    std::vector<const Value*> items(n);
    while (n-- > 0) items[n] = pop();
    push_items(Kind::tuple, std::move(items));
  }
  void append(const std::vector<const Value*>& items, bool pairs) {
    Value& into = top();
    const bool fits = into.is(Kind::object) || into.is(pairs ? Kind::dict : Kind::list);
    if (!fits || (pairs && items.size() % 2 != 0)) refuse("it adds items to a value that takes none");
    into.items.insert(into.items.end(), items.begin(), items.end());
  }
  void push_object(const Value& callable, const Value* arguments) {
    if (!callable.is(Kind::global) && !callable.is(Kind::object)) refuse("it calls what is no function");
    Value& v = make(Kind::object);
    v.text = callable.text;
    v.arguments = arguments;
    push(v);
  }
  void push_object_of_mark(const Value* callable, std::vector<const Value*> arguments) {
    push_items(Kind::tuple, std::move(arguments));
    const Value* tuple = pop();
    push_object(*callable, tuple);
  }
  void build() {
    const Value* state = pop();
    top().state = state;
  }
  void push_global(const std::string& module, const std::string& name) { push_text(Kind::global, module + "." + name); }
  void push_persistent(const Value* id) {
    Value& v = make(Kind::persistent);
    v.state = id;
    push(v);
  }
  void get(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("it recalls a value that was not kept");
    stack_.push_back(found->second);
  }
  void put(std::uint64_t key) { memo_[key] = &top(); }

  std::uint64_t decimal(const std::string& text) const {
    std::uint64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size()) refuse("'" + text.substr(0, 20) + "' is no number");
    return n;
  }
  /// Of any length; one beyond 64 bits is kept as a real number.
  void push_long(std::string_view little_endian) {
    if (little_endian.size() > 8) {
      double x = 0;
      for (std::size_t i = little_endian.size(); i-- > 0;) x = x * 256 + static_cast<std::uint8_t>(little_endian[i]);
      return push_real(x);
    }
    std::uint64_t n = !little_endian.empty() && (little_endian.back() & 0x80) ? ~std::uint64_t{0} : 0;
    for (std::size_t i = little_endian.size(); i-- > 0;) n = n << 8 | static_cast<std::uint8_t>(little_endian[i]);
    push_integer(static_cast<std::int64_t>(n));
  }
  void push_decimal(std::string text) {
    if (text == "00" || text == "01") return push_boolean(text == "01");
    if (!text.empty() && text.back() == 'L') text.pop_back();
    errno = 0;
    char* end = nullptr;
    const long long n = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0') refuse("'" + text.substr(0, 20) + "' is no number");
    if (errno == ERANGE) return push_real(std::strtod(text.c_str(), nullptr));
    push_integer(n);
  }
  void push_decimal_real(const std::string& text) {
    char* end = nullptr;
    const double x = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') refuse("'" + text.substr(0, 20) + "' is no number");
    push_real(x);
  }
  void push_binary_real() {
    std::uint64_t bits = 0;
    for (const char c : take(8)) bits = bits << 8 | static_cast<std::uint8_t>(c);
    double x = 0;
    std::memcpy(&x, &bits, sizeof x);
    push_real(x);
  }
  /// A quoted text of protocol 0, with Python's escapes.
  void push_quoted(const std::string& text) {
    if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front()) refuse("a text lacks its quotes");
    std::string out;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
      if (text[i] != '\\') {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      const auto hex = [](char h) { return h >= '0' && h <= '9' ? h - '0' : (h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32) - 'a' + 10 : -1; };
      if (c == 'x' && i + 3 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
        out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
        i += 2;
      } else {
        out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
      }
    }
    push_text(Kind::text, std::move(out));
  }

  void run();
  bool step(std::uint8_t code);
  bool step_structure(std::uint8_t code);

  std::string_view in_;
  std::size_t at_ = 0;
  std::deque<Value> values_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value*> memo_;
  const Value* root_ = nullptr;
};

inline void Pickle::run() {
  while (true) {
    const auto code = static_cast<std::uint8_t>(take(1)[0]);
    if (code == '.') break;
    if (!step(code) && !step_structure(code)) {
      static constexpr char digits[] = "0123456789abcdef";
      refuse(std::string("byte ") + std::to_string(at_ - 1) + " holds the instruction 0x" + digits[code >> 4] + digits[code & 15] + ", which is not read here");
    }
  }
  root_ = pop();
  stack_.clear(), marks_.clear(), memo_.clear();
}

/// Numbers, texts and the memo. \return false if it is another instruction
inline bool Pickle::step(std::uint8_t code) {
  switch (code) {
    case 0x80: if (const auto protocol = number(1); protocol > 5) refuse("its protocol is " + std::to_string(protocol) + ", the latest known is 5"); break;
    case 0x95: number(8); break;  // a frame: a hint for buffering
    case 'N': push(make(Kind::none)); break;
    case 0x88: push_boolean(true); break;
    case 0x89: push_boolean(false); break;
    case 'I': case 'L': push_decimal(line()); break;
    case 'J': push_integer(static_cast<std::int32_t>(number(4))); break;
    case 'K': push_integer(static_cast<std::int64_t>(number(1))); break;
    case 'M': push_integer(static_cast<std::int64_t>(number(2))); break;
    case 0x8a: push_long(take(number(1))); break;
    case 0x8b: push_long(take(number(4))); break;
    case 'F': push_decimal_real(line()); break;
    case 'G': push_binary_real(); break;
    case 'S': push_quoted(line()); break;
    case 'V': push_text(Kind::text, line()); break;
    case 'T': case 'X': push_text(Kind::text, std::string(take(number(4)))); break;
    case 'U': case 0x8c: push_text(Kind::text, std::string(take(number(1)))); break;
    case 0x8d: push_text(Kind::text, std::string(take(number(8)))); break;
    case 'B': push_text(Kind::bytes, std::string(take(number(4)))); break;
    case 'C': push_text(Kind::bytes, std::string(take(number(1)))); break;
    case 0x8e: case 0x96: push_text(Kind::bytes, std::string(take(number(8)))); break;
    case 'p': put(decimal(line())); break;
    case 'q': put(number(1)); break;
    case 'r': put(number(4)); break;
    case 0x94: put(memo_.size()); break;
    case 'g': get(decimal(line())); break;
    case 'h': get(number(1)); break;
    case 'j': get(number(4)); break;
    default: return false;
  }
  return true;
}

/// Marks, containers, globals and objects. \return false if it is another instruction
inline bool Pickle::step_structure(std::uint8_t code) {
  switch (code) {
    case '(': marks_.push_back(stack_.size()); break;
    case '0': pop(); break;
    case '1': pop_marked(); break;
    case '2': push(top()); break;
    case ']': case 0x8f: push_items(Kind::list, {}); break;  // a set is kept as a list
    case 'l': case 0x91: push_items(Kind::list, pop_marked()); break;
    case ')': push_items(Kind::tuple, {}); break;
    case 't': push_items(Kind::tuple, pop_marked()); break;
    case 0x85: push_tuple(1); break;
    case 0x86: push_tuple(2); break;
    case 0x87: push_tuple(3); break;
    case '}': push_items(Kind::dict, {}); break;
    case 'd': push_items(Kind::dict, pop_marked()); break;
    case 'a': { const Value* item = pop(); append({item}, /*pairs=*/false); break; }
    case 'e': case 0x90: append(pop_marked(), /*pairs=*/false); break;
    case 's': { const Value* value = pop(); const Value* key = pop(); append({key, value}, /*pairs=*/true); break; }
    case 'u': append(pop_marked(), /*pairs=*/true); break;
    case 'c': { const std::string module = line(); push_global(module, line()); break; }
    case 0x93: { const Value* name = pop(); const Value* module = pop(); push_global(module->text, name->text); break; }
    case 'R': case 0x81: { const Value* arguments = pop(); push_object(*pop(), arguments); break; }
    case 0x92: { pop(); const Value* arguments = pop(); push_object(*pop(), arguments); break; }
    case 'i': { const std::string module = line(); push_global(module, line()); const Value* made = pop(); push_object_of_mark(made, pop_marked()); break; }
    case 'o': {
      auto items = pop_marked();
      if (items.empty()) refuse("an object lacks its class");
      const Value* made = items.front();
      items.erase(items.begin());
      push_object_of_mark(made, std::move(items));
      break;
    }
    case 'b': build(); break;
    case 'P': { push_text(Kind::text, line()); const Value* id = pop(); push_persistent(id); break; }
    case 'Q': push_persistent(pop()); break;
    default: return false;
  }
  return true;
}

}  // namespace zstar::formats
