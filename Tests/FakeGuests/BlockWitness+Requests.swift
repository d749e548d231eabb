// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Devices

// What a block back end takes from the ring, and what it answers.
extension BlockWitness {
  func take(_ slot: UnsafeRawBufferPointer) {
    if waiting != nil { complain("a request is taken before the last one has begun") }
    waiting = Activity(request: ExpectedBlockRequest(slot))
    takenInTurn += 1
    if takenInTurn > BlockRing.slotCount { complain("one guest keeps its back end busy for ever") }
  }

  /// - Returns: whether there was a request to answer.
  func answer(_ slot: UnsafeRawBufferPointer) -> Bool {
    readSegments()
    let (identifier, operation) = (slot.load(as: UInt64.self), slot[8])
    let status = slot.loadUnaligned(fromByteOffset: 10, as: Int16.self)
    guard let activity = takeAnswered(identifier, operation, status) else { return false }
    let request = activity.request
    answered("\(request.operation)\(request.indirectPage == nil ? "" : ", indirect"): \(status)")
    if request.identifier != identifier || request.operation != operation {
      complain("an answer is not the one that is due")
    }
    if !(-2...0).contains(status) { complain("there is no status \(status)") }
    if let problem = problem(activity, status) { complain(problem) }
    check()
    if activity.pages != nil && !activity.isLetGo && persistentLimit == nil {
      complain("pages are still mapped when their request is answered")
    }
    return true
  }

  /// The request that is answered, of which a guest may have several with the same name: preferably one that it suits.
  private func takeAnswered(_ identifier: UInt64, _ operation: UInt8, _ status: Int16) -> Activity? {
    func isMeant(_ activity: Activity) -> Bool {
      activity.request.identifier == identifier && activity.request.operation == operation
    }
    let ended = underWay.filter { !$0.value.isBusy }.sorted { $0.key < $1.key }
    let meant = ended.filter { isMeant($0.value) }
    if let (tag, activity) = meant.first(where: { problem($0.value, status) == nil }) ?? meant.first {
      underWay[tag] = nil
      return activity
    }
    // One that was refused; or whatever there is.
    if let activity = waiting {
      waiting = nil
      return activity
    }
    guard let (tag, activity) = ended.first ?? underWay.first.map({ ($0.key, $0.value) }) else {
      complain("there is an answer without a request")
      return nil
    }
    underWay[tag] = nil
    return activity
  }

  /// What is wrong with a status.
  private func problem(_ activity: Activity, _ status: Int16) -> String? {
    let request = activity.request
    let isUnmappable = activity.isMapped && activity.pages == nil
    return switch request.fate(on: disk) {
    case .fails where status == 0: "\(request) is said to be done, which cannot be"
    case .succeeds where status == 0 && !activity.isDone: "\(request) is said to be done, and is not"
    case .succeeds where status != 0 && !isUnmappable:
      "a sound request \(request) is answered by \(status)"
    default: nil
    }
  }
}
