// SPDX-License-Identifier: Apache-2.0

/// Looks for a run that is fair and never comes to what it must: a set of states, each reachable from each without
/// leaving the set, in which every step that must not be put off for ever is taken, or is now and then not possible.
struct FairRuns {
  let graph: StateGraph
  /// The numbers of the conditions "from" and "to" in the graph.
  let from: Int
  let to: Int
  /// By action instance: whether it must not be put off for ever, and the condition under which.
  let fairness: [Duty]

  enum Duty {
    case none, always
    case wherever(condition: Int)
  }

  /// A run that never comes to "to".
  struct Escape {
    /// Where "from" holds, and then every state up to the set in which the run stays.
    let way: [Int]
    /// The set.
    let states: [Int]
  }

  /// States from which the claim asks for something.
  var beginnings: [Int] {
    (0..<graph.count).filter { graph.holds(from, in: $0) && !graph.holds(to, in: $0) }
  }

  /// The escape that is come to first.
  func escape() -> Escape? {
    let (parents, reached) = reachedWithout()
    var positions = [Int](repeating: Int.max, count: graph.count)
    for (position, state) in reached.enumerated() { positions[state] = position }
    let sets = components(of: reached).filter(isFairlyEndless).map { component in
      (first: component.map { positions[$0] }.min() ?? 0, component)
    }
    guard let (first, component) = sets.min(by: { $0.first < $1.first }) else { return nil }
    var way = [reached[first]]
    while let parent = parents[way[0]], parent != way[0] { way.insert(parent, at: 0) }
    return Escape(way: way, states: component)
  }

  /// What can be reached from a beginning without passing "to": by state, the one before, itself for a beginning.
  private func reachedWithout() -> (parents: [Int: Int], reached: [Int]) {
    var parents: [Int: Int] = [:]
    var reached = beginnings
    for state in reached { parents[state] = state }
    var next = 0
    while next < reached.count {
      let state = reached[next]
      next += 1
      for edge in graph.edges(of: state) {
        let target = Int(edge.target)
        if graph.holds(to, in: target) || parents[target] != nil { continue }
        parents[target] = state
        reached.append(target)
      }
    }
    return (parents, reached)
  }

  /// Whether a run can stay among these states for ever and be fair. A single state will do: a run may stand still
  /// where nothing must happen.
  private func isFairlyEndless(_ component: [Int]) -> Bool {
    let inside = Set(component)
    var possible: [UInt32: Int] = [:]
    var taken: Set<UInt32> = []
    for state in component {
      var here: Set<UInt32> = []
      for edge in graph.edges(of: state) {
        switch fairness[Int(edge.instance)] {
        case .none: continue
        case .wherever(let condition) where !graph.holds(condition, in: state): break
        case .always, .wherever: here.insert(edge.instance)
        }
        if inside.contains(Int(edge.target)) { taken.insert(edge.instance) }
      }
      for instance in here { possible[instance, default: 0] += 1 }
    }
    return possible.allSatisfy { $0.value < component.count || taken.contains($0.key) }
  }

  /// The strongly connected components of some states, by steps that do not pass "to" (Tarjan's algorithm, with its
  /// own stack: paths are long).
  private func components(of states: [Int]) -> [[Int]] {
    struct Visit {
      let state: Int
      var next: Int
    }
    var order = [Int](repeating: -1, count: graph.count)
    var low = order
    var isOpen = [Bool](repeating: false, count: graph.count)
    var open: [Int] = []
    var counter = 0
    var found: [[Int]] = []
    var visits: [Visit] = []
    func enter(_ state: Int) {
      order[state] = counter
      low[state] = counter
      counter += 1
      open.append(state)
      isOpen[state] = true
      visits.append(Visit(state: state, next: graph.edges(of: state).startIndex))
    }
    for root in states where order[root] < 0 {
      enter(root)
      while let visit = visits.last {
        let edges = graph.edges(of: visit.state)
        if visit.next < edges.endIndex {
          visits[visits.count - 1].next += 1
          let target = Int(edges[visit.next].target)
          if graph.holds(to, in: target) { continue }
          if order[target] < 0 {
            enter(target)
          } else if isOpen[target] {
            low[visit.state] = min(low[visit.state], order[target])
          }
          continue
        }
        visits.removeLast()
        if let above = visits.last { low[above.state] = min(low[above.state], low[visit.state]) }
        guard low[visit.state] == order[visit.state] else { continue }
        var component: [Int] = []
        while let state = open.popLast() {
          isOpen[state] = false
          component.append(state)
          if state == visit.state { break }
        }
        found.append(component)
      }
    }
    return found
  }
}
