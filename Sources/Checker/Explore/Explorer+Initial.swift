// SPDX-License-Identifier: Apache-2.0

import Logic

extension Explorer {
  /// Adds every initial state that satisfies the assumptions; false where memory ends.
  func addInitialStates() -> Bool {
    let specification = layout.specification
    var free: [Int] = []
    for (component, place) in zip(specification.components, layout.places) where component.initial == .any {
      if let place { free += Array(place.base..<place.base + place.count) }
    }
    let packedState = UnsafeMutablePointer<UInt64>.allocate(capacity: packed.words)
    defer { packedState.deallocate() }

    /// Tries every value for the free registers from `index` on.
    func assign(_ index: Int) -> Bool {
      guard index < free.count else {
        guard executable.run(from: code.assumptions, r) != 0 else { return true }
        packed.pack(r, into: packedState)
        symmetry.canonicalize(packedState)
        return store.insert(packedState, store.hash(packedState), parent: StateStore.noParent) != nil
      }
      let component = layout.owner(of: free[index]).component
      let largest = layout.places[component]?.largest ?? 0
      var value: UInt64 = 0
      while true {
        r[free[index]] = value
        if !assign(index + 1) { return false }
        if value == largest { return true }
        value += 1
      }
    }
    return assign(0)
  }
}
