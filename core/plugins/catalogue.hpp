#pragma once
/// \file Catalogue: the parts that plugins offer, found by their file tags and loaded when one is named.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "zstar/abi/host.hpp"
#include "zstar/abi/object.hpp"

namespace zstar::plugins {

/// A plugin or part that cannot be used. what() is the whole message: file, sentence, expected, remedy.
class PluginError : public std::runtime_error {
 public:
  PluginError(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }  ///< "Z151"; see docs/plugins.md

 private:
  std::string code_;
};

/// Where to look, and whom to trust.
struct Discovery {
  std::vector<std::filesystem::path> folders;  ///< of `--plugins`, searched first
  std::vector<std::filesystem::path> configured;  ///< of the user's configuration
  std::vector<std::filesystem::path> trusted;  ///< of `--trust-folder`
  std::vector<std::string> allowed;            ///< SHA-256 digests that may be loaded; empty: any
  std::vector<std::filesystem::path> files;    ///< looked at before all folders, trusted; for checks
  bool user_folders = true;                    ///< environment, configuration, executable, XDG
};

/// One part as a file tag announces it.
struct PartEntry {
  Kind kind;
  std::string name, doc;
  std::size_t file;  ///< index into Catalogue::files()
};

/// One file that was looked at.
struct FileEntry {
  std::filesystem::path path;
  std::string id, version, doc;
  std::vector<std::pair<std::string, std::string>> tag;  ///< all IDENT lines
  std::string refused_code, refused;                     ///< why it cannot be used; empty: usable
  std::string shadowed_by;                               ///< path of the file of the same id that wins
};

/// A file whose part was used, for the run record and the lock file.
struct UsedPlugin {
  std::string id, version, abi, sdk, torch, file, sha256, build_id;
  std::uintmax_t size = 0;
  std::vector<std::string> parts;  ///< "solver anderson"
};

class Catalogue {
 public:
  /// Reads the tags of all files in the folders; runs none of them.
  explicit Catalogue(const Discovery& discovery = {});
  ~Catalogue();
  Catalogue(Catalogue&&) noexcept;

  const std::vector<FileEntry>& files() const;
  const std::vector<PartEntry>& parts() const;
  /// Names of the usable parts of a kind, sorted.
  std::vector<std::string> names(Kind kind) const;

  /// The options of a part; loads its file. \param name  "anderson" or "id:anderson"
  /// \throws PluginError  naming the nearest part, or why its file is refused
  const std::vector<OptSpec>& options(Kind kind, std::string_view name);
  std::string_view doc(Kind kind, std::string_view name);

  /// Creates a part. Exceptions of its constructor become Z171, naming plugin and part.
  template <class T>
  std::unique_ptr<T> create(Kind kind, std::string_view name, const Settings& settings, Host& host) {
    return std::unique_ptr<T>(static_cast<T*>(make(kind, name, settings, host)));
  }

  std::vector<UsedPlugin> used() const;
  /// Sentences about what loading changed in the process, "FILE: warning: …".
  const std::vector<std::string>& warnings() const;
  /// Loads a file by its index whatever its parts; for checks. \throws PluginError
  void load_file(std::size_t file);

 private:
  Object* make(Kind kind, std::string_view name, const Settings& settings, Host& host);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "solver", "gradient", …; and back (nothing for an unknown word).
std::string_view to_string(Kind kind);
std::optional<Kind> kind_of(std::string_view word);

}  // namespace zstar::plugins
