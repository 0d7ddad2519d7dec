#include "chip/probe/internal/sysfs_text.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "base/units.h"

namespace busbar::chip::probe {
namespace {

constexpr std::uint32_t kMaxCpus = 8192;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// A non-negative number that fits.
std::optional<std::uint32_t> parse_number(std::string_view text) {
  const auto number = parse_int(text);
  if (!number || *number < 0 || *number > UINT32_MAX) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

/// Calls `take` with the trimmed key and value of every "key : value".
template <class Take>
void each_colon_line(std::string_view text, Take take) {
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) take(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
  }
}

}  // namespace

std::optional<std::uint32_t> parse_hex_id(std::string_view text, unsigned bits) {
  std::string_view digits = trim(text);
  if (!digits.starts_with("0x")) return std::nullopt;
  digits.remove_prefix(2);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (bits < 32 && (value >> bits) != 0) return std::nullopt;
  return value;
}

std::optional<PciModalias> parse_pci_modalias(std::string_view text) {
  text = trim(text);
  if (!text.starts_with("pci:")) return std::nullopt;
  text.remove_prefix(4);
  const auto take = [&text](std::string_view mark, std::size_t digits) -> std::optional<std::uint32_t> {
    if (text.size() < mark.size() + digits || !text.starts_with(mark)) return std::nullopt;
    const std::string_view number = text.substr(mark.size(), digits);
    text.remove_prefix(mark.size() + digits);
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + digits, value, 16);
    return error == std::errc() && end == number.data() + digits ? std::optional(value) : std::nullopt;
  };
  // In the order of the text: each takes away what it has read.
  const auto vendor = take("v", 8);
  const auto device = take("d", 8);
  const auto subsystem_vendor = take("sv", 8);
  const auto subsystem_device = take("sd", 8);
  const auto base_class = take("bc", 2);
  const auto sub_class = take("sc", 2);
  const auto interface = take("i", 2);
  if (!vendor || !device || !subsystem_vendor || !subsystem_device || !base_class || !sub_class || !interface ||
      !text.empty() || std::max({*vendor, *device, *subsystem_vendor, *subsystem_device}) > 0xffff) {
    return std::nullopt;
  }
  return PciModalias{.vendor = static_cast<std::uint16_t>(*vendor),
                     .device = static_cast<std::uint16_t>(*device),
                     .subsystem_vendor = static_cast<std::uint16_t>(*subsystem_vendor),
                     .subsystem_device = static_cast<std::uint16_t>(*subsystem_device),
                     .class_code = *base_class << 16 | *sub_class << 8 | *interface};
}

bool is_pci_address(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon < 4 || colon > 8 || text.size() != colon + 8) return false;
  const std::string_view rest = text.substr(colon);
  return rest[3] == ':' && rest[6] == '.' && rest[7] >= '0' && rest[7] <= '7' && is_hex(text.substr(0, colon)) &&
         is_hex(rest.substr(1, 2)) && is_hex(rest.substr(4, 2));
}

std::optional<std::int32_t> parse_link_speed(std::string_view text) {
  text = trim(text);
  if (text.starts_with("Unknown")) return 0;
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos || !text.substr(blank + 1).starts_with("GT/s")) return std::nullopt;
  const auto milli = parse_milli(text.substr(0, blank));
  if (!milli || *milli < 0 || *milli > 10'000'000) return std::nullopt;
  return static_cast<std::int32_t>(*milli);
}

std::optional<std::vector<std::uint32_t>> parse_cpu_list(std::string_view text) {
  std::vector<std::uint32_t> cpus;
  if (trim(text).empty()) return cpus;
  for (const std::string_view part : split(trim(text), ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMaxCpus || cpus.size() + (*last - *first) >= kMaxCpus) {
      return std::nullopt;
    }
    for (std::uint32_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::optional<std::int64_t> parse_aer_total(std::string_view text) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with("TOTAL_ERR_")) continue;
    const std::size_t blank = line.find(' ');
    const auto total = blank == std::string_view::npos ? std::nullopt : parse_int(trim(line.substr(blank + 1)));
    return total && *total >= 0 ? total : std::nullopt;
  }
  return std::nullopt;
}

std::map<std::string, std::string> parse_uevent(std::string_view text) {
  std::map<std::string, std::string> values;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos && equals > 0) {
      values.emplace(std::string(line.substr(0, equals)), std::string(trim(line.substr(equals + 1))));
    }
  }
  return values;
}

std::optional<DeviceNumber> parse_device_number(std::string_view text) {
  text = trim(text);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major = parse_number(text.substr(0, colon));
  const auto minor = parse_number(text.substr(colon + 1));
  // What dev_t holds: 12 and 20 bits.
  if (!major || !minor || *major >= (1U << 12) || *minor >= (1U << 20)) return std::nullopt;
  return DeviceNumber{.major = *major, .minor = *minor};
}

std::string colon_field(std::string_view text, std::string_view key) {
  std::string found;
  bool is_found = false;
  each_colon_line(text, [&](std::string_view name, std::string_view value) {
    if (!is_found && name == key) {
      found = value;
      is_found = true;
    }
  });
  return found;
}

CpuInfo parse_cpuinfo(std::string_view text) {
  CpuInfo info;
  each_colon_line(text, [&](std::string_view key, std::string_view value) {
    if (key == "processor") {
      // Old arm kernels name the model by the same key; that is no number.
      if (const auto number = parse_number(value); number && *number < kMaxCpus && info.processors.size() < kMaxCpus) {
        info.processors.push_back(*number);
      }
    } else if ((key == "flags" || key == "Features") && info.flags.empty()) {
      info.flags = value;
    } else if (key == "model name" && info.model_name.empty()) {
      info.model_name = value;
    } else if (key == "cpu MHz" && info.mhz == 0) {
      info.mhz = std::max<std::int64_t>(0, parse_int(value.substr(0, value.find('.'))).value_or(0));
    }
  });
  return info;
}

}  // namespace busbar::chip::probe
