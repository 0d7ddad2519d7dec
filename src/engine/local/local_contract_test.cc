#include "engine/contract_tests.h"
#include "engine/local/local_fixture.h"

namespace busbar::engine {
namespace {

INSTANTIATE_TEST_SUITE_P(Local, EngineContract,
                         ::testing::Values(EngineContractParam{"Local",
                                                               [] { return std::make_unique<LocalFixture>(); }}),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace busbar::engine
