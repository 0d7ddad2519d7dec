#pragma once

#include <string>

#include "base/error.h"

namespace busbar::os {

/// A shared library that is loaded at run time, so that nothing has to be linked with what a machine may lack. Unloaded
/// with the object: no function of it may be called afterwards. Thread-safe to use, not to move.
class DynamicLibrary {
 public:
  /// A name is looked for as the dynamic linker does, a path is taken as it is. kUnsupported with the linker's own
  /// words where it cannot be loaded.
  static Result<DynamicLibrary> open(const std::string& name);
  /// The first of these that can be loaded; the error of the first where none can.
  template <class Names>
  static Result<DynamicLibrary> open_any(const Names& names) {
    Result<DynamicLibrary> first = make_error(ErrorCode::kUnsupported, "no library is named");
    bool is_first = true;
    for (const auto& name : names) {
      auto opened = open(std::string(name));
      if (opened) return opened;
      if (is_first) first = std::move(opened);
      is_first = false;
    }
    return first;
  }

  DynamicLibrary(DynamicLibrary&& other) noexcept;
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept;
  ~DynamicLibrary();

  const std::string& name() const { return name_; }

  /// Sets `function` to the library's function of that name, or to nullptr. Its type is the caller's word.
  template <class Function>
  bool find(const char* symbol, Function*& function) const {
    function = reinterpret_cast<Function*>(address(symbol));
    return function != nullptr;
  }
  /// The same; kUnsupported where it is missing.
  template <class Function>
  Result<void> require(const char* symbol, Function*& function) const {
    if (find(symbol, function)) return {};
    return make_error(ErrorCode::kUnsupported, name_ + " has no function " + symbol);
  }

 private:
  DynamicLibrary(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}
  void* address(const char* symbol) const;

  std::string name_;
  void* handle_ = nullptr;
};

}  // namespace busbar::os
