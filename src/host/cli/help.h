// The help texts: each fits a screen and ends with two examples (checked by tests/cli).

#pragma once

#include <string_view>

namespace nv::host::cli {

extern const std::string_view kMainHelp;
extern const std::string_view kRunHelp;
extern const std::string_view kVersionHelp;

}  // namespace nv::host::cli
