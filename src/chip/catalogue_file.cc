#include "chip/catalogue_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "chip/internal/catalogue_draft.h"
#include "chip/internal/family_keys.h"
#include "chip/internal/file_reader.h"

namespace busbar::chip {
namespace {

using internal::CatalogueDraft;
using internal::FamilyDraft;
using internal::FileReader;
using internal::ModelDraft;
using internal::Place;

const std::array kSourceKeys = {internal::Key<std::string>{
    "ref",
    [](FileReader& reader, std::string& into, const YamlNode& node) { into = reader.text(node, "ref").value_or(""); }}};

constexpr std::string_view kSchema = "busbar/chips/v1";

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= 63 && text.front() != '-' && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

/// Reads the files one after the other into one draft.
class Parser {
 public:
  explicit Parser(std::span<const CatalogueFile> files) : files_(files) {}

  ParsedCatalogue parse() {
    for (const bool overlays : {false, true}) {
      for (std::size_t i = 0; i < files_.size(); ++i) {
        if (files_[i].is_overlay == overlays) {
          read_file(i);
        }
      }
    }
    check_sources();
    ParsedCatalogue parsed;
    if (diagnostics_.empty()) {
      parsed.catalogue = take();
    }
    parsed.diagnostics = std::move(diagnostics_);
    return parsed;
  }

 private:
  std::string describe(const Place& place) const {
    return fmt::format("{}:{}", files_[place.file].name, place.position.line);
  }

  void read_file(std::size_t index) {
    FileReader reader(files_[index], index, diagnostics_);
    const auto document = parse_yaml(files_[index].text);
    if (!document) {
      reader.error(document.error().position, document.error().message);
      return;
    }
    if (!reader.is_map(*document, "a catalogue file")) {
      return;
    }
    const YamlNode* schema = document->find("schema");
    if (schema == nullptr || schema->scalar != kSchema) {
      reader.error(schema == nullptr ? document->position : schema->position,
                   fmt::format("a catalogue file begins with schema: {}", kSchema));
      return;
    }
    static const std::vector<std::string> kKeys = {"schema", "sources", "families"};
    for (const YamlNode::Entry& entry : document->entries) {
      if (entry.key == "sources") {
        read_sources(reader, entry.value);
      } else if (entry.key == "families") {
        read_families(reader, entry.value);
      } else if (entry.key != "schema") {
        reader.unknown_key(entry, "a catalogue file", kKeys);
      }
    }
  }

  void read_sources(FileReader& reader, const YamlNode& node) {
    if (!reader.is_map(node, "sources")) {
      return;
    }
    for (const YamlNode::Entry& entry : node.entries) {
      const auto known = draft_.source_places.find(entry.key);
      if (known != draft_.source_places.end() && !reader.file().is_overlay) {
        reader.error(entry.key_position,
                     fmt::format("source \"{}\" is already at {}", entry.key, describe(known->second)));
        continue;
      }
      std::string reference;
      internal::read_map<std::string>(reader, entry.value, kSourceKeys, reference, fmt::format("source {}", entry.key));
      if (!reference.empty()) {
        draft_.sources.insert_or_assign(entry.key, reference);
        draft_.source_places.insert_or_assign(entry.key, reader.place(entry.key_position));
      }
    }
  }

  void read_families(FileReader& reader, const YamlNode& node) {
    if (node.kind != YamlNode::Kind::kSequence) {
      reader.error(node.position, "families is not a list");
      return;
    }
    for (const YamlNode& item : node.items) {
      read_family(reader, item);
    }
  }

  /// The entry's id, and all its other keys; nullopt with an error if there is no good id.
  std::optional<std::pair<std::string, YamlNode>> take_id(FileReader& reader, const YamlNode& node,
                                                          std::string_view what) {
    if (!reader.is_map(node, what)) {
      return std::nullopt;
    }
    const YamlNode* id = node.find("id");
    if (id == nullptr || !is_id(id->scalar)) {
      reader.error(id == nullptr ? node.position : id->position,
                   fmt::format("{} needs an id: 1 to 63 characters of a-z 0-9 - .", what));
      return std::nullopt;
    }
    YamlNode rest = node;
    std::erase_if(rest.entries, [](const YamlNode::Entry& entry) { return entry.key == "id"; });
    return std::pair{id->scalar, std::move(rest)};
  }

  /// The place in `list` where an entry of that id is read into: a new one, or in an overlay the one that exists.
  template <class Draft>
  Draft* slot_for(FileReader& reader, const std::string& id, TextPosition position, std::vector<Draft>& list,
                  std::map<std::string, std::size_t>& index, std::string_view what) {
    const auto known = index.find(id);
    if (known == index.end()) {
      index.emplace(id, list.size());
      list.emplace_back();
      list.back().place = reader.place(position);
      return &list.back();
    }
    Draft& draft = list[known->second];
    const Place here = reader.place(position);
    if (!reader.file().is_overlay || draft.place.file == here.file) {
      reader.error(position, fmt::format("{} \"{}\" is already at {}", what, id, describe(draft.place)));
      return nullptr;
    }
    draft.place = here;
    return &draft;
  }

  void read_family(FileReader& reader, const YamlNode& node) {
    auto named = take_id(reader, node, "a family");
    if (!named) {
      return;
    }
    auto& [id, rest] = *named;
    FamilyDraft* draft = slot_for(reader, id, node.position, draft_.families, draft_.family_index, "family");
    if (draft == nullptr) {
      return;
    }
    const YamlNode* models = rest.find("models");
    const YamlNode model_list = models == nullptr ? YamlNode{} : *models;
    std::erase_if(rest.entries, [](const YamlNode::Entry& entry) { return entry.key == "models"; });
    draft->family.id = id;
    internal::read_map(reader, rest, internal::family_keys(), *draft, fmt::format("family {}", id));
    if (draft->family.vendor.empty() || draft->family.chip_class.empty() || draft->family.sources.empty()) {
      reader.error(node.position, fmt::format("family {} needs vendor, class and sources", id));
    }
    const std::size_t family = draft_.family_index.at(id);
    if (models != nullptr && model_list.kind != YamlNode::Kind::kSequence) {
      reader.error(model_list.position, "models is not a list");
    }
    for (const YamlNode& model : model_list.items) {
      read_model(reader, model, family);
    }
  }

  void read_model(FileReader& reader, const YamlNode& node, std::size_t family) {
    auto named = take_id(reader, node, "a model");
    if (!named) {
      return;
    }
    auto& [id, rest] = *named;
    const bool is_new = draft_.model_index.find(id) == draft_.model_index.end();
    ModelDraft* draft = slot_for(reader, id, node.position, draft_.models, draft_.model_index, "model");
    if (draft == nullptr) {
      return;
    }
    if (!is_new && draft->model.family != family) {
      reader.error(node.position, fmt::format("model \"{}\" belongs to family {}", id,
                                              draft_.families[draft->model.family].family.id));
      return;
    }
    draft->model.id = id;
    draft->model.family = family;
    draft->model.defined_in = describe(reader.place(node.position));
    internal::read_map(reader, rest, internal::model_keys(), *draft, fmt::format("model {}", id));
    internal::settle_model(reader, draft_.families[family].family, *draft);
    check_model(reader, *draft);
  }

  void check_model(FileReader& reader, const ModelDraft& draft) {
    const ChipModel& model = draft.model;
    if (model.name.empty() || !draft.has_confidence || model.sources.empty()) {
      reader.error(draft.place.position, fmt::format("model {} needs name, confidence and sources", model.id));
    }
    if (!model.peaks.empty() && model.confidence == Confidence::kNone) {
      reader.error(draft.place.position, fmt::format("model {} has peaks, so its confidence cannot be none", model.id));
    }
  }

  void check_sources() {
    const auto check = [this](const std::map<std::string, Place>& places) {
      for (const auto& [key, place] : places) {
        if (draft_.sources.find(key) == draft_.sources.end()) {
          FileReader reader(files_[place.file], place.file, diagnostics_);
          reader.error(place.position, fmt::format("source \"{}\" is in no file's sources", key));
        }
      }
    };
    for (const FamilyDraft& family : draft_.families) {
      check(family.source_places);
    }
    for (const ModelDraft& model : draft_.models) {
      check(model.source_places);
    }
  }

  Catalogue take() {
    std::vector<Family> families;
    for (FamilyDraft& draft : draft_.families) {
      families.push_back(std::move(draft.family));
    }
    std::vector<ChipModel> models;
    for (ModelDraft& draft : draft_.models) {
      models.push_back(std::move(draft.model));
    }
    return {std::move(families), std::move(models), std::move(draft_.sources)};
  }

  std::span<const CatalogueFile> files_;
  std::vector<CatalogueDiagnostic> diagnostics_;
  CatalogueDraft draft_;
};

}  // namespace

ParsedCatalogue parse_catalogue(std::span<const CatalogueFile> files) {
  return Parser(files).parse();
}

std::string format_diagnostics(const std::vector<CatalogueDiagnostic>& diagnostics) {
  std::string text;
  for (const CatalogueDiagnostic& one : diagnostics) {
    text += fmt::format("{}:{}:{}: error: {}\n", one.file, one.position.line, one.position.column, one.message);
  }
  return text;
}

}  // namespace busbar::chip
