#include "chip_files.h"
#include "cli/cli.h"
#include "probe_hooks.h"
#include "serve.h"
#include "serve_gateway.h"

int main(int argc, char** argv) {
  return busbar::cli::run_cli(argc, argv,
                              {.serve = busbar::serve,
                               .gateway = busbar::serve_gateway,
                               .restore = busbar::restore,
                               .catalogue = busbar::catalogue_for_cli,
                               .host_cards = busbar::host_cards,
                               .discover = busbar::discover_cards,
                               .measure = busbar::measure_cards,
                               .version = BUSBAR_VERSION,
                               .build_id = BUSBAR_BUILD_ID});
}
