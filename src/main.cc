#include "cli/cli.h"
#include "serve.h"

int main(int argc, char** argv) {
  return busbar::cli::run_cli(
      argc, argv,
      {.serve = busbar::serve, .restore = busbar::restore, .version = BUSBAR_VERSION, .build_id = BUSBAR_BUILD_ID});
}
