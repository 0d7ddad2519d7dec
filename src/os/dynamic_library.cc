#include "os/dynamic_library.h"

#include <dlfcn.h>

#include <utility>

namespace busbar::os {

Result<DynamicLibrary> DynamicLibrary::open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return make_error(ErrorCode::kUnsupported, "cannot load " + name, reason == nullptr ? "" : reason);
  }
  return DynamicLibrary(name, handle);
}

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept
    : name_(std::move(other.name_)), handle_(std::exchange(other.handle_, nullptr)) {}

DynamicLibrary& DynamicLibrary::operator=(DynamicLibrary&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(handle_, other.handle_);
  return *this;
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* DynamicLibrary::address(const char* symbol) const {
  return ::dlsym(handle_, symbol);
}

}  // namespace busbar::os
