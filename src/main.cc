#include "chip_files.h"
#include "cli/cli.h"
#include "serve.h"

int main(int argc, char** argv) {
  return busbar::cli::run_cli(argc, argv,
                              {.serve = busbar::serve,
                               .restore = busbar::restore,
                               .catalogue = busbar::catalogue_for_cli,
                               .version = BUSBAR_VERSION,
                               .build_id = BUSBAR_BUILD_ID});
}
