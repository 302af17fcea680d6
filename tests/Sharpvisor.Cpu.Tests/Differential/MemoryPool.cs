// Initial contents for the scratch buffer: one block with the values that arithmetic finds interesting, of which every
// sequence takes a window.
using System.Runtime.InteropServices;
using System.Buffers.Binary;

namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe class MemoryPool
{
    public const int Windows = 0x2_0000;
    private const ulong Seed = 0x5348_4152_5056;

    private static readonly byte[] s_bytes = Create();

    /// <summary>The pinned pool; a window is <see cref="Arena.BufferBytes"/> from any offset below <see cref="Windows"/>.</summary>
    public static byte* Address { get; } = (byte*)GCHandle
        .Alloc(s_bytes, GCHandleType.Pinned).AddrOfPinnedObject();

    private static byte[] Create()
    {
        var random = new SplitMix(Seed);
        byte[] bytes = new byte[Windows + Arena.BufferBytes];
        for (int i = 0; i < bytes.Length; i += 16)
        {
            InterestingValues.Vector(ref random, out ulong low, out ulong high);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i), low);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(i + 8), high);
        }

        return bytes;
    }
}
