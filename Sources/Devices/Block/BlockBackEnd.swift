// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Synchronization
import Xenstore

/// The back end of one block device (`vbd`): a thread that follows the front end, as `DeviceLife` says, and serves it.
public final class BlockBackEnd: Sendable {
  private let thread: ServiceThread
  private let device: Confined<BlockDevice>
  private let store: HostStore
  private let paths: DevicePaths

  /// Puts a disk into the store and waits for the guest to connect.
  /// - Parameters:
  ///   - name: the disk's name in the guest, such as `xvda`.
  ///   - number: its number, which names its directories.
  public init(
    _ image: DiskImage, name: String, number: Int, for domain: Domain, on host: Host, _ store: Store
  ) {
    let thread = ServiceThread(name: "\(name)-\(domain.id)")
    let paths = DevicePaths(kind: "vbd", domain: domain.id, number: number)
    let hostStore = HostStore(store)
    self.store = hostStore
    self.thread = thread
    self.paths = paths
    BlockDevice.describe(image, name: name, number: number, paths, in: hostStore)
    let bus = DeviceBus(host, of: domain.id) { thread.signal() }
    let device = Confined(BlockDevice(image, paths, hostStore, bus))
    self.device = device
    hostStore.watch(paths.frontEnd / "state", token: paths.frontEnd.description) { _ in thread.signal() }
    thread.start { wakeUp, isStopping in
      do throws(RingError) {
        while !isStopping() {
          if try !device.value.work() { wakeUp.wait() }
        }
      } catch {
        domain.crash("the ring of its disk \(name) is corrupt: \(error)")
      }
    }
  }

  /// Takes the disk away: nothing of the guest is mapped any more, and the store has forgotten it.
  public func close() {
    store.disconnect()
    thread.stop()
    device.value.disconnect()
    paths.remove(from: store)
  }
}
