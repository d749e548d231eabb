// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces
import Xenstore

/// What a thread serves: the state of one device's back end, which belongs to that thread alone.
protocol ServedDevice: AnyObject, SendableMetatype {
  /// Lets go of the rings and the event channel, if it has them.
  func disconnect()
}

/// A device's back end at work: its thread, and its place in the store.
final class DeviceService<Device: ServedDevice>: Sendable {
  private let thread: ServiceThread
  private let device: Confined<Device>
  private let store: HostStore
  private let paths: DevicePaths

  /// Makes the device and serves it from now on.
  /// - Parameters:
  ///   - name: the thread's.
  ///   - what: the device, as the message says it that ends a domain with a corrupt ring.
  ///   - make: puts the device into the store, and makes its state.
  ///   - loop: the thread's body, which returns soon after `isStopping` is true. The device is the thread's until then.
  init(
    _ name: String, _ what: String, at paths: DevicePaths, for domain: Domain, on host: Host, _ store: Store,
    make: (HostStore, DeviceBus) -> Device,
    loop:
      @escaping @Sendable (_ device: Device, _ wakeUp: WakeUp, _ isStopping: () -> Bool) throws(RingError) ->
      Void
  ) {
    let thread = ServiceThread(name: name)
    let hostStore = HostStore(store)
    let device = Confined(make(hostStore, DeviceBus(host, of: domain.id) { thread.signal() }))
    self.thread = thread
    self.device = device
    self.store = hostStore
    self.paths = paths
    hostStore.watch(paths.frontEnd / "state", token: paths.frontEnd.description) { _ in thread.signal() }
    thread.start { wakeUp, isStopping in
      do throws(RingError) {
        try loop(device.value, wakeUp, isStopping)
      } catch {
        domain.crash("a ring of \(what) is corrupt: \(error)")
      }
    }
  }

  /// Takes the device away: nothing of the guest is mapped any more, and the store has forgotten it.
  func close() {
    store.disconnect()
    thread.stop()
    device.value.disconnect()
    paths.remove(from: store)
  }
}
