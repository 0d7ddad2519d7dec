#include <fmt/format.h>

#include <array>
#include <set>

#include "base/text.h"
#include "launch/internal/document.h"

namespace busbar::launch::internal {
namespace {

/// Places in the container that are busbar's or the kernel's own.
constexpr std::array<std::string_view, 5> kReservedTargets = {"/proc", "/sys", "/dev", "/run/busbar", "/run/secrets"};

/// Without ".", ".." and doubled slashes; text only, so symbolic links are not followed.
std::string normal_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(path, '/')) {
    if (part == "..") {
      if (!parts.empty()) {
        parts.pop_back();
      }
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string result;
  for (const std::string_view part : parts) {
    result += "/" + std::string(part);
  }
  return result.empty() ? "/" : result;
}

bool is_under(std::string_view path, std::string_view folder) {
  return path == folder || folder == "/" ||
         (path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/');
}

bool is_relative_path(std::string_view path) {
  return path == "." || path == ".." || path.starts_with("./") || path.starts_with("../");
}

/// The absolute host path, or "" after reporting what is wrong with it.
std::string host_path(Reader& reader, const std::string& field, std::string_view path, std::string_view base) {
  if (path.starts_with('/')) {
    return normal_path(path);
  }
  if (!is_relative_path(path)) {
    reader.error_at(field, fmt::format("\"{}\" is not a host path", path),
                    "write /absolute/path, or ./path relative to the job file; ~, $NAME and volume names have no "
                    "meaning here");
    return {};
  }
  if (base.empty()) {
    reader.error_at(field, fmt::format("\"{}\" is relative, and the job file's folder is not known", path),
                    "write an absolute path");
    return {};
  }
  return normal_path(std::string(base) + "/" + std::string(path));
}

void resolve_volumes(Reader& reader, std::string_view base) {
  std::set<std::string> targets;
  auto& volumes = reader.spec().volumes;
  for (std::size_t index = 0; index < volumes.size(); ++index) {
    model::VolumeMount& volume = volumes[index];
    if (volume.source.empty() || volume.target.empty()) {
      continue;  // Reported when it was read.
    }
    const std::string field = fmt::format("volumes[{}]", index);
    volume.source = host_path(reader, field, volume.source, base);
    if (!volume.target.starts_with('/')) {
      reader.error_at(field, fmt::format("target \"{}\" is not absolute", volume.target), "begin it with /");
      continue;
    }
    volume.target = normal_path(volume.target);
    for (const std::string_view reserved : kReservedTargets) {
      if (is_under(volume.target, reserved) || volume.target == "/") {
        reader.error_at(field, fmt::format("target \"{}\" is not for volumes", volume.target),
                        "choose a folder of its own, such as /data");
        break;
      }
    }
    if (!targets.insert(volume.target).second) {
      reader.error_at(field, fmt::format("target \"{}\" is given twice", volume.target),
                      "each volume needs a place of its own");
    }
  }
}

void resolve_image(Reader& reader, std::string_view base) {
  std::string& image = reader.spec().image;
  if (!image.starts_with("oci:")) {
    return;
  }
  std::string_view path = std::string_view(image).substr(4);
  const auto colon = path.rfind(':');
  const std::string tag = colon == std::string_view::npos ? "" : std::string(path.substr(colon));
  const std::string resolved = host_path(reader, "image", path.substr(0, colon), base);
  image = "oci:" + resolved + tag;
}

void resolve_workdir(Reader& reader, std::string_view base) {
  model::JobSpec& spec = reader.spec();
  const bool is_host = spec.image == "host";
  if (spec.workdir.empty()) {
    spec.workdir = is_host ? std::string(base) : std::string();
    return;
  }
  if (spec.workdir.starts_with('/')) {
    spec.workdir = normal_path(spec.workdir);
  } else if (is_host && !base.empty()) {
    spec.workdir = normal_path(std::string(base) + "/" + spec.workdir);
  } else {
    reader.error_at("workdir", fmt::format("\"{}\" is not absolute", spec.workdir),
                    "a folder in the container begins with /");
  }
}

void resolve_checkpoint(Reader& reader) {
  model::JobSpec& spec = reader.spec();
  std::string& path = spec.checkpoint.path;
  const std::string field = reader.has("checkpoint.path") ? "checkpoint.path" : "checkpoint";
  if (path.empty()) {
    return;
  }
  if (!path.starts_with('/') && spec.workdir.empty()) {
    reader.error_at(field, fmt::format("\"{}\" is relative, and there is no workdir", path), "write an absolute path");
    return;
  }
  path = normal_path(path.starts_with('/') ? path : spec.workdir + "/" + path);
  if (spec.image == "host") {
    return;  // The same folder of the host is mounted there.
  }
  for (const model::VolumeMount& volume : spec.volumes) {
    if (is_under(path, volume.target) && !volume.is_read_only) {
      return;
    }
  }
  reader.warning_at(field, fmt::format("\"{}\" is not on a writable volume: checkpoints end with the container", path),
                    "add it to volumes, as in ./checkpoints:" + path);
}

}  // namespace

void resolve_paths(Reader& reader, std::string_view base_directory) {
  const std::string base = base_directory.starts_with('/') ? normal_path(base_directory) : std::string();
  resolve_volumes(reader, base);
  resolve_image(reader, base);
  resolve_workdir(reader, base);
  resolve_checkpoint(reader);
}

}  // namespace busbar::launch::internal
