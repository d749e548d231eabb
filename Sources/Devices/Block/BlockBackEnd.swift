// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Synchronization
import Xenstore

/// The back end of one block device (`vbd`).
///
/// It follows the front end's state in the store:
///
///     front end          back end
///     1 initialising     2 waits for the front end's details
///     3, 4               maps the ring, binds the event channel, 4 connected
///     5 closing          lets go of both, 5
///     6 closed           lets go of both, 6; and back to 2 when the front end is 1 again, so that a boot loader
///                        can hand the disk over to a kernel
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
    let bus = BlockBus(
      grants: HostGrants(host, of: domain.id),
      makeRing: { page in
        host.machinery.makeBackRing(page: page, slotCount: BlockRing.slotCount, slotSize: BlockRing.slotSize)
      },
      bind: { port in
        let channel = try? host.bindInterdomain(domain: domain.id, remotePort: port) { thread.signal() }
        return channel.map { channel in
          BlockBus.Channel(notify: { channel.notify() }, close: { channel.close() })
        }
      })
    let device = Confined(BlockDevice(image, paths, hostStore, bus))
    self.device = device
    hostStore.watch(paths.frontEnd / "state", token: paths.frontEnd.description) { _ in thread.signal() }
    thread.start { wakeUp, isStopping in
      do throws(RingError) {
        while !isStopping() {
          try device.value.work()
          wakeUp.wait()
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
