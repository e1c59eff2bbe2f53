// BootOnDemand: a LeaseSource without a pool: opens the image, boots, leases. For private runs.

#pragma once

#include <chrono>

#include "base/clock.h"
#include "host/backend/backend.h"
#include "host/pool/lease_source.h"
#include "host/storage/image_store.h"

namespace nv::host::pool {

class BootOnDemand final : public LeaseSource {
 public:
  // All outlive this object.
  BootOnDemand(const storage::ImageStore& images, backend::Backend& backend,
               const base::Clock& clock, std::chrono::milliseconds boot_timeout)
      : images_(images), backend_(backend), clock_(clock), boot_timeout_(boot_timeout) {}

  [[nodiscard]] base::Result<Lease> Acquire(const LeaseRequest& request,
                                            const StageHandler& on_stage,
                                            std::stop_token stop) override;
  [[nodiscard]] std::string backend() const override { return std::string(backend_.name()); }
  [[nodiscard]] std::string accelerator() const override {
    return std::string(backend::AcceleratorName(backend_.accelerator()));
  }

 private:
  const storage::ImageStore& images_;
  backend::Backend& backend_;
  const base::Clock& clock_;
  const std::chrono::milliseconds boot_timeout_;
};

}  // namespace nv::host::pool
