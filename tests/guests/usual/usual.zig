const std = @import("std");

const Shape = union(enum) { circle: f64, square: f64 };

fn area(shape: Shape) f64 {
    return switch (shape) {
        .circle => |radius| std.math.pi * radius * radius,
        .square => |side| side * side,
    };
}

pub fn main() !void {
    var room: [4096]u8 = undefined;
    var fixed = std.heap.FixedBufferAllocator.init(&room);
    const allocator = fixed.allocator();
    var list: std.ArrayList(u64) = .empty;
    for (0..50) |i| try list.append(allocator, i * i * i);
    const text = try std.fmt.allocPrint(allocator, "{x} {b} {d:.3}", .{ 255, 5, area(.{ .circle = 2 }) });
    std.debug.print("{s} {d} {d}\n", .{ text, list.items[49], area(.{ .square = 1.5 }) });
    return error.Deliberate;
}
