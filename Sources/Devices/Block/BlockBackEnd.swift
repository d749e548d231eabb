// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Xenstore

/// The back end of one block device (`vbd`): a thread that follows the front end, as `DeviceLife` says, and serves it.
public final class BlockBackEnd: Sendable {
  private let service: DeviceService<BlockDevice>

  /// Puts a disk into the store and waits for the guest to connect.
  /// - Parameters:
  ///   - queue: the disk: the back end's own until it is closed.
  ///   - name: the disk's name in the guest, such as `xvda`.
  ///   - number: its number, which names its directories.
  public init(
    _ queue: any BlockQueue, name: String, number: Int, for domain: Domain, on host: Host, _ store: Store
  ) {
    let paths = DevicePaths(kind: "vbd", domain: domain.id, number: number)
    service = DeviceService(
      "\(name)-\(domain.id)", "its disk \(name)", at: paths, for: domain, on: host, store
    ) {
      store, bus in
      BlockDevice.describe(queue.storage, name: name, number: number, paths, in: store)
      return BlockDevice(queue, paths, store, bus)
    } loop: { device, wakeUp, isStopping throws(RingError) in
      // What is under way ends before its thread does.
      defer { device.disconnect() }
      while !isStopping() {
        if try !device.work() { wakeUp.wait(orFor: queue.descriptor) }
      }
    }
  }

  /// Takes the disk away: nothing of the guest is mapped any more, and the store has forgotten it.
  public func close() { service.close() }
}
