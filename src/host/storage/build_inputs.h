// What decides the result of a build, as digests: equal digests mean that nothing is to be built.
//
// Called by the builder. New versions of Debian packages are not seen here: `image build --force`
// asks the archive again.

#pragma once

#include <string>

#include "base/result.h"
#include "host/storage/image_builder.h"

namespace nv::host::storage {

struct BuildInputs {
  std::string root;          // of the root tree: the recipe, its scripts, the mirror chosen by hand
  std::string kernel;        // of the kernel: its script and options
  std::string agent_sha256;  // of the agent's file
  std::string all;           // of everything, this program's version included
};

// kNotFound naming the file that is missing, and what makes it.
[[nodiscard]] base::Result<BuildInputs> ReadInputs(const BuildOptions& options);

[[nodiscard]] std::string_view FlavourName(KernelFlavour flavour);

}  // namespace nv::host::storage
