#pragma once

#include <span>

#include "chip/internal/catalogue_draft.h"
#include "chip/internal/file_reader.h"

namespace busbar::chip::internal {

/// The keys of a family, `models` and `id` excepted.
std::span<const Key<FamilyDraft>> family_keys();
/// The keys of a model, `id` excepted.
std::span<const Key<ModelDraft>> model_keys();

/// What follows from several keys of a model: its PCI ids and partitions. Called when all keys are read.
void settle_model(FileReader& reader, const Family& family, ModelDraft& draft);

}  // namespace busbar::chip::internal
