// SPDX-License-Identifier: Apache-2.0

import Logic

extension Elaborator {
  /// That symbols and entries reached are values of their sorts, where a sort has fewer values than its bits could
  /// tell: to a solver they are just words.
  func ranges(of roots: [TermID]) -> [Assertion] {
    reachable(from: roots).compactMap { id in
      let sort: Sort
      switch self[id].operation {
      case .symbol(let index): sort = symbols[index].sort
      case .scalar(_, let component), .entry(_, let component):
        sort = specification.components[component].sort
      default: return nil
      }
      let count = scope.count(of: sort)
      let width = self[id].width
      guard width < 64, count < 1 << UInt64(width), count != 0 else { return nil }
      return Assertion(lessThan(id, constant(count, width: width)), "a value of \(sort.name)")
    }
  }
}
