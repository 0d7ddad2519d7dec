#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"

/// What is known of accelerators: families, models, where each fact comes from. Data in `catalogue/*.yaml`
/// (docs/chips.md); read by `chip/catalogue_file.h`.
namespace busbar::chip {

/// How far a model's figures can be trusted; ordered. kNone and kCommunity may filter, never rank.
enum class Confidence : std::uint8_t { kNone, kCommunity, kPress, kTable, kVendor };
std::string_view confidence_name(Confidence confidence);
std::optional<Confidence> confidence_from_name(std::string_view name);
constexpr bool may_rank(Confidence confidence) {
  return confidence >= Confidence::kPress;
}

/// "fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4", "int4".
std::span<const std::string_view> precision_names();

/// By precision, in the file's order: GFLOP/s (GOP/s for int*), dense.
using Peaks = std::vector<std::pair<std::string, std::int64_t>>;

/// A PCI identity that a model answers to.
struct PciId {
  std::uint16_t vendor = 0;
  std::uint16_t device = 0;
  std::optional<std::uint16_t> subsystem = {};  ///< Subsystem device id; absent: any.
  bool is_virtual_function = false;             ///< SR-IOV virtual function of the model.
  friend bool operator==(const PciId&, const PciId&) = default;
};

/// One kind of slice that a card can be cut into: a MIG profile or a vNPU template.
struct Partition {
  enum class Kind : std::uint8_t { kMig, kVnpu };
  Kind kind = Kind::kMig;
  std::string name = {};            ///< "1g.10gb", "vir05_1c_16g"
  std::uint32_t slots = 0;          ///< Of the card's `partition_slots` (MIG compute slices, Ascend AI cores).
  std::uint32_t most_per_card = 0;  ///< floor(partition_slots / slots)
  Bytes memory = {};                ///< As the name says; 0: it does not.
  friend bool operator==(const Partition&, const Partition&) = default;
};

/// What a variable of the family holds inside a container.
enum class EnvValue : std::uint8_t {
  kLiteral,  ///< `literal` as it is: "void".
  kOrdinal,  ///< 0,1,..: the vendor's runtime numbers what it sees in the container from 0.
  kUuid,     ///< Unique ids; ordinals if one is unknown.
  kValue,    ///< CardFacts::values[`literal`] of each card: "module"; left out if a card has no such value.
};
struct EnvRule {
  std::string name = {};
  EnvValue value = EnvValue::kOrdinal;
  std::string literal = {};
  friend bool operator==(const EnvRule&, const EnvRule&) = default;
};

/// How cards of a family are shown to a container. Patterns hold {minor}, {n}, {phyid}, {card}, {render} ...: names of
/// CardFacts::values. "A|B" gives the first that the host has, "A->B" gives A under the name B. A family without
/// `device` patterns has no rule.
struct InjectionRule {
  std::vector<std::string> device = {};     ///< Of the granted card alone; each must exist.
  std::vector<std::string> partition = {};  ///< For a partition, instead of `device`; {gi_cap}, {ci_cap}, {mi} too.
  std::vector<std::string> control = {};    ///< Shared by all cards of the family.
  std::vector<std::string> optional = {};   ///< Given only where the host has them; by card if they hold a {value}.
  std::vector<std::string> mounts = {};     ///< Host paths, read-only at the same place, where the host has them.
  std::vector<EnvRule> env = {};
  std::vector<std::string> sources = {};
  bool has_rule() const { return !device.empty(); }
  friend bool operator==(const InjectionRule&, const InjectionRule&) = default;
};

/// Device nodes as a family's documentation names them.
struct FamilyNodes {
  std::vector<std::string> device = {};
  std::vector<std::string> control = {};
  std::vector<std::string> optional = {};
  std::vector<std::string> virtual_device = {};
  std::vector<std::string> legacy = {};
  std::vector<std::string> vfio = {};
  friend bool operator==(const FamilyNodes&, const FamilyNodes&) = default;
};

/// Cards that share driver, device nodes, variables and libraries. Everything about injection is keyed by family, never
/// by a variable's or library's name: two vendors call theirs HCCL, two XPU_VISIBLE_DEVICES' `xpu`.
struct Family {
  std::string id = {};
  std::string vendor = {};
  std::string chip_class = {};                   ///< "gpu", "npu", "tpu", "fpga", "cpu" ...
  std::vector<std::string> aliases = {};         ///< Names for any of its models.
  std::optional<std::uint16_t> pci_vendor = {};  ///< A model may have another one.
  std::optional<std::uint32_t> pci_class = {};   ///< 24 bits, 0x120000.
  std::string bus = {};                          ///< "none", "platform"; empty: PCI.
  std::vector<std::string> drivers = {};         ///< Kernel drivers, the usual one first.
  FamilyNodes nodes = {};
  std::vector<std::string> sysfs = {};
  /// Kubernetes' names by role: "resource", "alternative", "partition", "shared", "virtual" ...
  std::vector<std::pair<std::string, std::vector<std::string>>> k8s = {};
  std::vector<std::string> container_env = {};  ///< Read by the vendor's container runtime.
  std::vector<std::string> process_env = {};    ///< Read by the vendor's libraries in the process.
  std::string cdi_kind = {};                    ///< "nvidia.com/gpu"
  std::string cdi_generator = {};
  std::string vendor_runtime = {};       ///< Name of the vendor's OCI runtime.
  std::vector<std::string> mounts = {};  ///< Host paths that the vendor's containers need.
  std::string comm_library = {};
  std::string torch_backend = {};
  std::string torch_device = {};
  std::vector<std::string> slicing = {};
  std::vector<std::string> telemetry = {};
  std::string detect_file = {};  ///< For families that are not devices: "/proc/cpuinfo".
  std::string detect_key = {};
  InjectionRule inject = {};
  std::vector<std::string> sources = {};     ///< Keys of Catalogue::sources.
  std::vector<std::string> unverified = {};  ///< Fields that no source was seen for.
  friend bool operator==(const Family&, const Family&) = default;
};

/// A kind of accelerator. Absent means "no public source", never zero.
struct ChipModel {
  std::string id = {};
  std::string name = {};
  std::size_t family = 0;                 ///< Index in Catalogue::families().
  std::vector<std::string> aliases = {};  ///< Names that people write; may be shared with other models.
  std::vector<PciId> pci = {};
  std::string bus = {};
  std::uint32_t dies = 1;   ///< Compute dies in one package.
  std::uint32_t cards = 1;  ///< Devices that one package shows to the host; figures here are per package.
  std::optional<std::int64_t> memory_milli_gb =
      {};                                        ///< As the vendor prints it, x 1000; the real size is a run-time fact.
  std::optional<std::int64_t> memory_mbps = {};  ///< Peak bandwidth, MB/s.
  Peaks peaks = {};                              ///< Nominal, dense, per package.
  Peaks measured = {};                           ///< By a third party.
  std::optional<std::int64_t> measured_memory_mbps = {};
  std::string link = {};                       ///< "NVLink4"; "" or "none": no card-to-card link known.
  std::optional<std::int64_t> link_mbps = {};  ///< Of one device, both directions, MB/s.
  std::vector<Partition> partitions = {};
  std::uint32_t partition_slots = 0;                     ///< 7 MIG slices, 24 AI cores; 0: cannot be cut.
  std::optional<std::vector<std::string>> slicing = {};  ///< Instead of the family's.
  std::string node = {};  ///< Its device node's pattern, where family nodes differ by model.
  std::string arch = {};
  std::vector<std::string> cpu_flags = {};  ///< For CPUs: all must be there.
  std::vector<std::pair<std::string, std::int64_t>> ops_per_cycle_per_core = {};
  Confidence confidence = Confidence::kNone;
  std::vector<std::string> sources = {};
  std::string note = {};
  std::string defined_in = {};  ///< "nvidia.yaml:31", the last file that said something of it.

  /// Nominal dense peak of one card (a die where the package shows several), GFLOP/s; nullopt if not known.
  std::optional<std::int64_t> card_peak_gflops(std::string_view precision) const;
  /// Nominal memory of one card, taken as GiB; 0: not known.
  Bytes card_memory() const;
  friend bool operator==(const ChipModel&, const ChipModel&) = default;
};

/// All that is known, as one immutable value. Thread-safe to read; copying is expensive, share it.
class Catalogue {
 public:
  Catalogue() = default;
  /// The parts must be consistent (unique ids, family indices in range): `parse_catalogue` checks that.
  Catalogue(std::vector<Family> families, std::vector<ChipModel> models, std::map<std::string, std::string> sources);

  const std::vector<Family>& families() const { return families_; }
  const std::vector<ChipModel>& models() const { return models_; }
  /// Key -> reference.
  const std::map<std::string, std::string>& sources() const { return sources_; }
  const Family& family_of(const ChipModel& model) const { return families_[model.family]; }

  /// nullptr if there is none. Pointers live as long as the catalogue.
  const ChipModel* find(std::string_view id) const;
  const Family* find_family(std::string_view id) const;
  /// Every model that a name means, in catalogue order; case, '_' and ' ' for '-' do not matter. In this order the
  /// first that knows the name: ids, names and aliases of models; ids, aliases, vendors and Kubernetes resources of
  /// families.
  std::vector<const ChipModel*> named(std::string_view name) const;
  /// Everything that `named` knows, for hints and completion.
  std::vector<std::string> names() const;

  /// Models that may be this device. One: sure. Several: the id is shared and the subsystem id does not decide; then it
  /// is the operator's or the vendor library's word. None: unknown.
  std::vector<const ChipModel*> candidates(std::uint16_t vendor, std::uint16_t device,
                                           std::optional<std::uint16_t> subsystem = {}) const;
  /// The family of a PCI vendor that makes one kind of accelerator only; nullptr otherwise.
  const Family* family_of_vendor(std::uint16_t pci_vendor) const;

  friend bool operator==(const Catalogue&, const Catalogue&) = default;

 private:
  std::vector<Family> families_;
  std::vector<ChipModel> models_;
  std::map<std::string, std::string> sources_;
  std::map<std::string, std::size_t, std::less<>> by_id_;
  std::map<std::string, std::vector<std::size_t>, std::less<>> by_name_;         ///< Models' own names.
  std::map<std::string, std::vector<std::size_t>, std::less<>> by_family_name_;  ///< Families' names.
  std::map<std::uint32_t, std::vector<std::size_t>> by_pci_;                     ///< vendor << 16 | device
};

/// The chip of a card whose model is not settled: unknown, or its id is shared by several models. "pci-19e5-d802".
std::string undecided_chip(std::uint16_t vendor, std::uint16_t device);
/// Vendor and device of such a name.
std::optional<std::pair<std::uint16_t, std::uint16_t>> parse_undecided_chip(std::string_view chip);

/// How names are compared: lower case, '_' and ' ' as '-'.
std::string normal_name(std::string_view name);

}  // namespace busbar::chip
