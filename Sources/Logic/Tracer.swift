// SPDX-License-Identifier: Apache-2.0

/// A one-place change of a specification, made while it is traced.
public enum TraceMutation: Sendable, Hashable {
  /// The n-th guard of an action is not asked for.
  case dropGuard(action: String, index: Int)
  /// The n-th assignment of an action does not happen.
  case dropAssignment(action: String, index: Int)
}

/// What is collected while the body of one action runs.
final class Tracer {
  let boxes: [any VariableBox]
  let mutation: TraceMutation?
  private(set) var guards: [Guard] = []
  private(set) var assignments: [String] = []
  private var action = ""
  /// Under which condition the statement being traced runs.
  private var path = Node.yes
  private var guardCount = 0

  init(boxes: [any VariableBox], mutation: TraceMutation?) {
    self.boxes = boxes
    self.mutation = mutation
  }

  func begin(_ action: String) {
    self.action = action
    guards = []
    assignments = []
    guardCount = 0
    path = .yes
    for box in boxes { box.current = box.original }
  }

  /// Counts the assignment; false if a mutation drops it.
  func keepsAssignment(to name: String) -> Bool {
    defer { assignments.append(name) }
    return mutation != .dropAssignment(action: action, index: assignments.count)
  }

  func require(_ bound: [Node], _ condition: Bit, rule: String?, site: Site) {
    defer { guardCount += 1 }
    guard mutation != .dropGuard(action: action, index: guardCount) else { return }
    guards.append(
      Guard(bound: bound, condition: .or(.not(path), condition.node), rule: rule, site: site))
  }

  /// Traces both branches and merges what they leave.
  func branch(_ condition: Bit, _ then: () -> Void, _ otherwise: () -> Void) {
    let outer = path
    let before = boxes.map(\.current)
    path = .and(outer, condition.node)
    then()
    let after = boxes.map(\.current)
    for (box, nodes) in zip(boxes, before) { box.current = nodes }
    path = .and(outer, .not(condition.node))
    otherwise()
    for (box, nodes) in zip(boxes, after) {
      box.current = zip(nodes, box.current).map { .choose(condition.node, $0, $1) }
    }
    path = outer
  }

  /// The changed components of the trace, and back to the state before.
  func finish() -> [Int: Node] {
    var next: [Int: Node] = [:]
    var index = 0
    for box in boxes {
      for (original, current) in zip(box.original, box.current) {
        if original !== current { next[index] = current }
        index += 1
      }
      box.current = box.original
    }
    return next
  }
}
