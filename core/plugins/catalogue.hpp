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

#include "core/plugins/mapped.hpp"
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

/// The constructor of a part threw (Z171).
class NotCreated : public PluginError {
 public:
  NotCreated(const PluginError& error, std::string words) : PluginError(error), words_(std::move(words)) {}
  const std::string& words() const { return words_; }  ///< the part's own

 private:
  std::string words_;
};

/// How files that are new to this build of the program are tried before they are loaded.
struct ProbeSettings {
  std::filesystem::path program;  ///< this program, whose command `probe` answers; empty: no file is tried
  std::filesystem::path cache;    ///< folder where good answers are kept; empty: none are
  double seconds = 10;            ///< until a file is given up
};

/// Where to look, and whom to trust.
struct Discovery {
  std::vector<std::filesystem::path> folders;  ///< of `--plugins`, searched first
  std::vector<std::filesystem::path> configured;  ///< of the user's configuration
  std::vector<std::filesystem::path> trusted;  ///< of `--trust-folder`
  std::optional<std::vector<std::string>> allowed;  ///< SHA-256 digests that may be loaded; nothing: any
  std::vector<std::filesystem::path> files;    ///< looked at before all folders, trusted; for checks
  bool user_folders = true;                    ///< environment, configuration, executable, XDG
  bool only_installation = false;              ///< of these, the executable's alone
  ProbeSettings probe;
};

/// One part as a file tag announces it.
struct PartEntry {
  Kind kind;
  std::string name, doc;
  std::size_t file;  ///< index into Catalogue::files()
};

/// One file that was looked at.
struct FileEntry {
  std::filesystem::path path, resolved;                  ///< as found, and with all links followed
  std::string id, version, doc;
  std::vector<std::pair<std::string, std::string>> tag;  ///< all IDENT lines
  std::string refused_code, refused;                     ///< why it cannot be used; empty: usable
  std::string shadowed_by;                               ///< path of the file of the same id that wins
};

/// A file of which a part was named, for the run record and the lock file.
struct UsedPlugin {
  std::string id, version, abi, sdk, torch, file, sha256;
  std::uintmax_t size = 0;
  std::vector<std::string> parts;  ///< "solver anderson"
};

/// What must be the same again: the plugins used, and libtorch_cpu by name and build id.
struct Lock {
  std::string source;  ///< of the lock, for messages
  std::vector<UsedPlugin> plugins;
  MappedLibrary torch;
};

/// A plugin that an experiment pins: a version, or a file.
struct Pin {
  std::string id, version, sha256;  ///< one of the latter is empty
};

/// What a child process found that loaded a file, entered it and created its parts.
struct ProbeReport {
  std::vector<std::string> warnings;  ///< "changed the locale while loading; undone [Z163]"
  std::vector<std::string> faults;    ///< parts that cannot be created with their defaults, as whole messages (Z171)
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

  /// Creates a part. \throws NotCreated  for exceptions of its constructor, naming plugin and part
  template <class T>
  std::unique_ptr<T> create(Kind kind, std::string_view name, const Settings& settings, Host& host) {
    return std::unique_ptr<T>(static_cast<T*>(make(kind, name, settings, host)));
  }

  /// The files of which a part was named so far, by id.
  std::vector<UsedPlugin> used() const;
  /// From now on only what the lock holds may be used. \throws PluginError  Z141, for LibTorch or what is loaded already
  void require(Lock lock);
  /// From now on plugins of these ids must be these. \throws PluginError  Z141, for what is loaded already
  void require(std::vector<Pin> pins);
  /// Sentences about what loading changed in the process, "FILE: warning: …".
  const std::vector<std::string>& warnings() const;
  /// Loads a file by its index whatever its parts; for checks. \throws PluginError
  void load_file(std::size_t file);
  /// Tries a file by its index in a child process, whatever was found before. \throws PluginError
  ProbeReport probe_file(std::size_t file);

 private:
  Object* make(Kind kind, std::string_view name, const Settings& settings, Host& host);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "solver", "gradient", …; and back (nothing for an unknown word).
std::string_view to_string(Kind kind);
std::optional<Kind> kind_of(std::string_view word);

}  // namespace zstar::plugins
