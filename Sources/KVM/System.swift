// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// /dev/kvm.
public final class System: Sendable {
  let descriptor: Int32

  /// Opens /dev/kvm.
  public init() throws(KVMError) {
    descriptor = open("/dev/kvm", O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else {
      switch errno {
      case ENOENT, ENODEV, ENXIO: throw .noDevice
      case EACCES, EPERM: throw .noPermission
      default: throw .failed(operation: "opening /dev/kvm", errno: errno)
      }
    }
  }

  deinit { close(descriptor) }
}
