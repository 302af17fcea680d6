// The hypercall input value (TLFS "Hypercall Inputs").
namespace Sharpvisor.Hypervisor;

internal readonly record struct HypercallInput(ulong Value)
{
    /// <summary>RsvdZ fields, and "is nested", which nobody here is.</summary>
    private const ulong Reserved = 0xF000_F000_F800_0000;

    public ushort Code => (ushort)Value;

    public bool IsFast => (Value & (1 << 16)) != 0;

    public int VariableBytes => (int)((Value >> 17) & 0x3FF) * 8;

    public int RepCount => (int)(Value >> 32) & 0xFFF;

    public int RepStart => (int)(Value >> 48) & 0xFFF;

    public bool HasReservedBits => (Value & Reserved) != 0;
}
