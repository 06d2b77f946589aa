#include "core/plugins/lock.hpp"

#include <algorithm>
#include <array>

namespace zstar::plugins {
namespace {

std::string quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

struct Field {
  const char* name;
  std::string (*of)(const UsedPlugin&);
};

/// In the order in which a difference is looked for: what a person understands first.
constexpr std::array<Field, 7> fields{{{"version", [](const UsedPlugin& p) { return p.version; }},
                                       {"ABI", [](const UsedPlugin& p) { return p.abi; }},
                                       {"SDK hash", [](const UsedPlugin& p) { return p.sdk; }},
                                       {"LibTorch version", [](const UsedPlugin& p) { return p.torch; }},
                                       {"SHA-256", [](const UsedPlugin& p) { return p.sha256; }},
                                       {"size", [](const UsedPlugin& p) { return std::to_string(p.size); }},
                                       {"file name", [](const UsedPlugin& p) { return p.file; }}}};

const char* const relock = "put the locked file back, or lock again with 'zstar lock FILE' if the change is meant";

}  // namespace

MappedLibrary torch_library() { return mapped_library("libtorch_cpu.so"); }

std::string to_toml(const Lock& lock) {
  std::string text = "# What ran here, written by zstar: 'zstar run FILE --locked' runs with exactly this or not at all.\n\n[libtorch]\nname = " +
                     quote(lock.torch.name) + "\nbuild_id = " + quote(lock.torch.build_id) + "\n";
  for (const UsedPlugin& p : lock.plugins) {
    text += "\n[[plugins]]\nid = " + quote(p.id) + "\nversion = " + quote(p.version) + "\nabi = " + quote(p.abi) + "\nsdk = " + quote(p.sdk) +
            "\ntorch = " + quote(p.torch) + "\nfile = " + quote(p.file) + "\nsize = " + std::to_string(p.size) + "\nsha256 = " + quote(p.sha256) + "\nparts = [";
    for (std::size_t i = 0; i < p.parts.size(); ++i) text += (i ? ", " : "") + quote(p.parts[i]);
    text += "]\n";
  }
  return text;
}

std::optional<Refusal> difference(const Lock& lock, const UsedPlugin& now) {
  const auto then = std::find_if(lock.plugins.begin(), lock.plugins.end(), [&](const UsedPlugin& p) { return p.id == now.id; });
  if (then == lock.plugins.end())
    return Refusal{"Z141", "the plugin '" + now.id + "' is not in the lock (" + lock.source + ")", "", "lock again with 'zstar lock FILE', or use the parts that were locked"};
  for (const Field& field : fields)
    if (const std::string was = field.of(*then), is = field.of(now); was != is)
      return Refusal{"Z141", std::string(field.name) + " differs from the lock (" + lock.source + ")" +
                                 (std::string_view(field.name) == "SHA-256" ? ": the library was rebuilt since" : ""),
                     was + ", found " + is, relock};
  return std::nullopt;
}

std::optional<Refusal> torch_difference(const Lock& lock) {
  const MappedLibrary now = torch_library();
  if (lock.torch.name != now.name) return Refusal{"Z141", "LibTorch's file differs from the lock: " + now.name, lock.torch.name, relock};
  if (lock.torch.build_id != now.build_id) return Refusal{"Z141", "LibTorch's build id differs from the lock: " + now.build_id, lock.torch.build_id, relock};
  return std::nullopt;
}

std::optional<std::string> parse_digest(const std::string& text) {
  const std::string digits = text.compare(0, 7, "sha256:") == 0 ? text.substr(7) : text;
  if (digits.size() != 64 || digits.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
  return digits;
}

std::optional<Pin> parse_pin(const std::string& text) {
  const std::size_t at = text.find('@');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) return std::nullopt;
  const std::string value = text.substr(at + 1);
  if (value.compare(0, 7, "sha256:") != 0) return Pin{text.substr(0, at), value, ""};
  const auto digest = parse_digest(value);
  return digest ? std::optional<Pin>({text.substr(0, at), "", *digest}) : std::nullopt;
}

std::optional<Refusal> difference(const Pin& pin, const UsedPlugin& now) {
  if (pin.id != now.id) return std::nullopt;
  if (!pin.version.empty() && pin.version != now.version)
    return Refusal{"Z141", "version " + now.version + " is not the one that [plugins] pin asks for", pin.version, "use that version, or change the pin"};
  if (!pin.sha256.empty() && pin.sha256 != now.sha256)
    return Refusal{"Z141", "SHA-256 " + now.sha256 + " is not the one that [plugins] pin asks for", pin.sha256, "use that file, or change the pin"};
  return std::nullopt;
}

}  // namespace zstar::plugins
