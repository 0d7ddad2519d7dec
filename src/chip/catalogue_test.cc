#include "chip/catalogue.h"

#include <gtest/gtest.h>

#include "chip/catalogue_file.h"

namespace busbar::chip {
namespace {

constexpr const char* kHead = R"(schema: busbar/chips/v1
sources:
  sheet: {ref: "vendor sheet"}
  table: {ref: "public table"}
families:
)";

constexpr const char* kAcme = R"(- id: acme
  vendor: Acme
  class: npu
  aliases: [acme-any]
  pci_vendor: "abcd"
  nodes: {device: ["/dev/acme{n}"]}
  k8s: {resource: acme.com/npu, partition: "acme.com/<part>"}
  inject: {device: ["/dev/acme{n}"], control: [/dev/acmectl], env: {ACME_VISIBLE: ordinal}, sources: [sheet]}
  sources: [sheet]
  models:
  - {id: acme-1, name: Acme One, aliases: [One], pci: ["0001"], memory_gb: 16, peak: {fp16: 62.5, int8: 125}, confidence: vendor, sources: [sheet]}
  - {id: acme-2a, name: Acme Two A, aliases: [Two], pci: ["0002"], memory_gb: 32, memory_gbps: 3276.8, dies: 2, cards: 2, peak: {fp16: 200}, mig: [1g.5gb, 3g.20gb, 7g.40gb], confidence: table, sources: [table]}
  - {id: acme-2b, name: Acme Two B, aliases: [Two], pci: ["0002", "0003"], pci_sub: ["0003:00aa"], vnpu: [vir04, vir02_1c_8g], cores: 10, confidence: none, sources: [table]}
  - {id: acme-3, name: Acme Three, pci: ["0003"], pci_sub: ["0003:00bb"], confidence: none, sources: [table]}
)";

ParsedCatalogue parse(const std::string& families, const std::string& overlay = "") {
  std::vector<CatalogueFile> files = {{.name = "acme.yaml", .text = kHead + families}};
  if (!overlay.empty()) {
    files.push_back({.name = "site.yaml", .text = "schema: busbar/chips/v1\n" + overlay, .is_overlay = true});
  }
  return parse_catalogue(files);
}

Catalogue acme() {
  auto parsed = parse(kAcme);
  EXPECT_EQ(format_diagnostics(parsed.diagnostics), "");
  return std::move(parsed.catalogue);
}

std::vector<std::string> ids(const std::vector<const ChipModel*>& models) {
  std::vector<std::string> result;
  for (const ChipModel* model : models) {
    result.push_back(model->id);
  }
  return result;
}

using Ids = std::vector<std::string>;

TEST(Catalogue, KeepsFactsExactlyAndDividesThemByTheCardsOfAPackage) {
  const Catalogue catalogue = acme();
  const ChipModel* two = catalogue.find("acme-2a");
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two->memory_mbps, 3'276'800);
  EXPECT_EQ(two->card_peak_gflops("fp16"), 100'000);
  EXPECT_EQ(two->card_peak_gflops("bf16"), std::nullopt);
  EXPECT_EQ(two->card_memory(), (Bytes{16LL << 30}));
  EXPECT_EQ(two->confidence, Confidence::kTable);
  EXPECT_EQ(two->defined_in, "acme.yaml:17");
  EXPECT_EQ(catalogue.sources().at("sheet"), "vendor sheet");
  EXPECT_EQ(catalogue.family_of(*two).inject.control, Ids{"/dev/acmectl"});
}

TEST(Catalogue, NamesMeanAModelOrSeveralOrAWholeFamilyWithoutRegardToCase) {
  const Catalogue catalogue = acme();
  EXPECT_EQ(ids(catalogue.named("acme-1")), Ids{"acme-1"});
  EXPECT_EQ(ids(catalogue.named("ACME_one")), Ids{"acme-1"});
  EXPECT_EQ(ids(catalogue.named("two")), (Ids{"acme-2a", "acme-2b"}));
  EXPECT_EQ(ids(catalogue.named("acme.com/NPU")).size(), 4u);
  EXPECT_EQ(ids(catalogue.named("Acme")).size(), 4u);
  EXPECT_TRUE(catalogue.named("acme.com/<part>").empty());
  EXPECT_TRUE(catalogue.named("four").empty());
}

TEST(Catalogue, ASharedPciIdGivesCandidatesUnlessTheSubsystemDecides) {
  const Catalogue catalogue = acme();
  EXPECT_EQ(ids(catalogue.candidates(0xabcd, 0x0001)), Ids{"acme-1"});
  EXPECT_EQ(ids(catalogue.candidates(0xabcd, 0x0002)), (Ids{"acme-2a", "acme-2b"}));
  EXPECT_EQ(ids(catalogue.candidates(0xabcd, 0x0003, 0x00bb)), Ids{"acme-3"});
  EXPECT_EQ(ids(catalogue.candidates(0xabcd, 0x0003)), (Ids{"acme-2b", "acme-3"}));
  EXPECT_EQ(ids(catalogue.candidates(0xabcd, 0x0003, 0x0077)), (Ids{"acme-2b", "acme-3"}));
  EXPECT_TRUE(catalogue.candidates(0xabcd, 0x0009).empty());
  EXPECT_EQ(catalogue.family_of_vendor(0xabcd)->id, "acme");
  EXPECT_EQ(catalogue.family_of_vendor(0x1234), nullptr);
}

TEST(Catalogue, PartitionsAreSlotTables) {
  const Catalogue catalogue = acme();
  const ChipModel* mig = catalogue.find("acme-2a");
  EXPECT_EQ(mig->partition_slots, 7u);
  ASSERT_EQ(mig->partitions.size(), 3u);
  EXPECT_EQ(mig->partitions[1].most_per_card, 2u);
  EXPECT_EQ(mig->partitions[1].memory, (Bytes{20LL << 30}));
  const ChipModel* vnpu = catalogue.find("acme-2b");
  EXPECT_EQ(vnpu->partition_slots, 10u);
  EXPECT_EQ(vnpu->partitions[0].most_per_card, 2u);
  EXPECT_EQ(vnpu->partitions[1].memory, (Bytes{8LL << 30}));
}

TEST(Catalogue, AnUndecidedChipIsNamedByItsIds) {
  EXPECT_EQ(undecided_chip(0x19e5, 0xd802), "pci-19e5-d802");
  EXPECT_EQ(parse_undecided_chip("pci-19e5-d802"), (std::pair<std::uint16_t, std::uint16_t>{0x19e5, 0xd802}));
  for (const char* text : {"pci-19e5", "pci-19E5-d802", "pci-19e5-d80", "usb-19e5-d802", ""}) {
    EXPECT_EQ(parse_undecided_chip(text), std::nullopt) << text;
  }
}

TEST(CatalogueFile, AnOverlayAddsModelsAndCorrectsThemKeyByKey) {
  const auto parsed = parse(kAcme, R"(families:
- id: acme
  models:
  - {id: acme-1, memory_gb: 24}
  - {id: acme-9, name: Nine, confidence: none, sources: [sheet]}
)");
  ASSERT_EQ(format_diagnostics(parsed.diagnostics), "");
  const ChipModel* corrected = parsed.catalogue.find("acme-1");
  EXPECT_EQ(corrected->memory_milli_gb, 24'000);
  EXPECT_EQ(corrected->card_peak_gflops("fp16"), 62'500);
  EXPECT_EQ(corrected->defined_in, "site.yaml:5");
  EXPECT_EQ(corrected->pci.size(), 1u);
  EXPECT_NE(parsed.catalogue.find("acme-9"), nullptr);
}

struct Wrong {
  const char* text;
  int line;
  const char* says;
};

TEST(CatalogueFile, EveryErrorHasItsLineAndSaysWhatToDo) {
  const std::string family =
      "- id: x\n  vendor: X\n  class: npu\n  pci_vendor: \"abcd\"\n  sources: [sheet]\n  models:\n";
  const std::vector<Wrong> cases = {
      {"  - {id: a, name: A, memory_gb: 80GB, confidence: none, sources: [sheet]}", 12, "has a unit of its own"},
      {"  - {id: a, name: A, memory_gb: 81920, confidence: none, sources: [sheet]}", 12, "is the unit right?"},
      {"  - {id: a, name: A, memory_gb: -1, confidence: none, sources: [sheet]}", 12, "no positive number"},
      {"  - {id: a, name: A, peak: {fp61: 1}, confidence: table, sources: [sheet]}", 12, "did you mean"},
      {"  - {id: a, name: A, peak: {fp16: 1}, confidence: none, sources: [sheet]}", 12, "cannot be none"},
      {"  - {id: a, name: A, memry_gb: 1, confidence: none, sources: [sheet]}", 12, "did you mean \"memory_gb\"?"},
      {"  - {id: a, name: A, pci: [\"12AB\"], confidence: none, sources: [sheet]}", 12, "lower-case hexadecimal"},
      {"  - {id: a, name: A, confidence: good, sources: [sheet]}", 12, "none of vendor, table"},
      {"  - {id: a, name: A, confidence: none, sources: [shed]}", 12, "in no file's sources"},
      {"  - {id: a, name: A, confidence: none}", 12, "needs name, confidence and sources"},
      {"  - {id: A B, name: A, confidence: none, sources: [sheet]}", 12, "needs an id"},
      {"  - {id: a, name: A, mig: [big], confidence: none, sources: [sheet]}", 12, "not a profile"},
      {"  - {id: a, name: A, vnpu: [vir02], confidence: none, sources: [sheet]}", 12, "give cores"},
      {"  - {id: a, name: A, note: , confidence: none, sources: [sheet]}", 12, "has no value"},
      {"  - {id: a, name: A, node: /etc/shadow, confidence: none, sources: [sheet]}", 12, "not a path below /dev/"},
      {"  - {id: a, name: A, confidence: none, sources: [sheet]}\n"
       "  - {id: a, name: B, confidence: none, sources: [sheet]}",
       13, "\"a\" is already at acme.yaml:12"},
  };
  for (const Wrong& wrong : cases) {
    SCOPED_TRACE(wrong.text);
    const auto parsed = parse(family + wrong.text + "\n");
    ASSERT_EQ(parsed.diagnostics.size(), 1u) << format_diagnostics(parsed.diagnostics);
    EXPECT_EQ(parsed.diagnostics[0].file, "acme.yaml");
    EXPECT_EQ(parsed.diagnostics[0].position.line, wrong.line);
    EXPECT_NE(parsed.diagnostics[0].message.find(wrong.says), std::string::npos) << parsed.diagnostics[0].message;
  }
}

TEST(CatalogueFile, FamiliesAreCheckedToo) {
  const std::string head = "- id: x\n  vendor: X\n  sources: [sheet]\n";
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {"  class: toaster\n", "none of gpu"},
           {"  class: npu\n  nodez: {}\n", "did you mean \"nodes\"?"},
           {"  class: npu\n  inject: {device: [/etc/passwd], sources: [sheet]}\n", "not a path below /dev/"},
           {"  class: npu\n  inject: {device: [/dev/../etc], sources: [sheet]}\n", "not a path below /dev/"},
           {"  class: npu\n  inject: {device: [/dev/x]}\n", "inject has no sources"},
           {"  class: npu\n  inject: {env: {A: sometimes}, sources: [sheet]}\n", "none of ordinal"},
           {"  class: npu\n  pci_class: 12\n", "0x and six"},
           {"  class: npu\n  models:\n  - {id: a, name: A, pci: [\"0001\"], confidence: none, sources: [sheet]}\n",
            "neither it nor its family has a pci_vendor"}}) {
    SCOPED_TRACE(text);
    const auto parsed = parse(head + text);
    ASSERT_FALSE(parsed.is_valid());
    EXPECT_NE(format_diagnostics(parsed.diagnostics).find(says), std::string::npos)
        << format_diagnostics(parsed.diagnostics);
  }
}

TEST(CatalogueFile, AllErrorsComeInOneAnswer) {
  const auto parsed =
      parse("- {id: x, vendor: X, class: npu, sources: [sheet], a: 1, b: 2, models: [{id: m, c: 3}]}\n");
  EXPECT_EQ(parsed.diagnostics.size(), 4u) << format_diagnostics(parsed.diagnostics);
}

TEST(CatalogueFile, BrokenTextIsAnErrorWithItsPlace) {
  for (const char* text : {"", "[", "schema: other", "families: []", "schema: busbar/chips/v1\nfamilies: 3", "\xff"}) {
    SCOPED_TRACE(text);
    const std::vector<CatalogueFile> files = {{.name = "x.yaml", .text = text}};
    EXPECT_FALSE(parse_catalogue(files).is_valid());
  }
}

}  // namespace
}  // namespace busbar::chip
