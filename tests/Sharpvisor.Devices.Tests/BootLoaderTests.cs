using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Boot;
using Xunit;

namespace Sharpvisor.Devices.Tests;

public sealed class BootLoaderTests : IDisposable
{
    private const ulong MiB = 1 << 20;

    private readonly GuestMemory _memory = new(64 * MiB);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void Kernel_is_loaded_at_its_preferred_address_and_entered_at_0x200()
    {
        BootState state = LinuxBootLoader.Load(_memory, Kernel(), null, "console=ttyS0");
        Assert.Equal(0x100_0200UL, state.Rip);
        Assert.True(_memory.TryRead(0x100_0200, out byte first));
        Assert.Equal(0xC3, first);
        Assert.Equal("console=ttyS0", ReadText(Read32(state.Rsi + 0x228)));
        Assert.Equal(PlatformLayout.RsdpGpa, Read64(state.Rsi + 0x70));
        Assert.Equal(0x5372_6448u, Read32(state.Rsi + 0x202));
    }

    [Fact]
    public void Memory_map_covers_RAM_without_overlap()
    {
        BootState state = LinuxBootLoader.Load(_memory, Kernel(), null, "");
        Assert.True(_memory.TryRead(state.Rsi + 0x1E8, out byte count));
        ulong end = 0;
        ulong ram = 0;
        for (int i = 0; i < count; i++)
        {
            ulong entry = state.Rsi + 0x2D0 + (20 * (ulong)i);
            Assert.True(Read64(entry) >= end);
            end = Read64(entry) + Read64(entry + 8);
            ram += Read32(entry + 16) == 1 ? Read64(entry + 8) : 0;
        }

        Assert.Equal(64 * MiB, end);
        Assert.Equal((64 * MiB) - PlatformLayout.AcpiBytes - MiB + PlatformLayout.EbdaGpa, ram);
    }

    [Fact]
    public void Entry_state_is_64_bit_with_everything_low_identity_mapped()
    {
        BootState state = LinuxBootLoader.Load(_memory, Kernel(), null, "");
        Assert.Equal(0x10, state.Code.Selector);
        Assert.Equal(0x18, state.Data.Selector);
        Assert.Equal(0x500UL, state.Efer);
        foreach (ulong gpa in new[] { state.Rip, state.Rsi, 0xFFFF_FFFFUL })
        {
            Assert.Equal(gpa, Translate(state.Cr3, gpa));
        }

        Assert.Equal(0x00AF_9B00_0000_FFFFUL, Read64(state.GdtBase + 0x10));
    }

    [Fact]
    public void Relocatable_kernel_moves_down_when_memory_is_small()
    {
        using var small = new GuestMemory(16 * MiB);
        BootState state = LinuxBootLoader.Load(small, Kernel(), null, "");
        Assert.Equal(0x20_0200UL, state.Rip);
    }

    [Fact]
    public void Initrd_is_as_high_as_allowed()
    {
        byte[] content = new byte[10_000];
        content[9_999] = 0x77;
        BootState state = LinuxBootLoader.Load(_memory, Kernel(), new BootFile("initrd", content), "");
        uint at = Read32(state.Rsi + 0x218);
        Assert.Equal(10_000u, Read32(state.Rsi + 0x21C));
        Assert.Equal((64 * MiB) - PlatformLayout.AcpiBytes - 0x3000, at);
        Assert.True(_memory.TryRead(at + 9_999UL, out byte last));
        Assert.Equal(0x77, last);
    }

    [Fact]
    public void Initrd_respects_the_kernels_limit()
    {
        byte[] kernel = KernelBytes();
        BinaryPrimitives.WriteUInt32LittleEndian(kernel.AsSpan(0x22C), 0x01FF_FFFF);
        BootState state = LinuxBootLoader.Load(_memory, new BootFile("k", kernel), new BootFile("initrd", new byte[4096]), "");
        Assert.Equal(0x01FF_F000u, Read32(state.Rsi + 0x218));
    }

    [Theory]
    [InlineData("empty", "is empty")]
    [InlineData("short", "too short to be a kernel")]
    [InlineData("foreign", "not a Linux kernel")]
    [InlineData("truncated", "the kernel is truncated")]
    [InlineData("32-bit", "not a 64-bit kernel")]
    [InlineData("old", "boot protocol 2.05")]
    [InlineData("alignment", "header is damaged")]
    [InlineData("huge", "memory is too small")]
    public void Bad_kernels_are_refused_with_one_clear_line(string kind, string message)
    {
        byte[] bytes = KernelBytes();
        switch (kind)
        {
            case "empty":
                bytes = [];
                break;
            case "short":
                bytes = bytes[..300];
                break;
            case "foreign":
                bytes = new byte[8192];
                break;
            case "truncated":
                bytes = bytes[..^100];
                break;
            case "32-bit":
                bytes[0x236] = 0;
                break;
            case "old":
                bytes[0x206] = 5;
                break;
            case "alignment":
                bytes[0x230] = 3;
                break;
            default:
                BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(0x260), 0x8000_0000);
                break;
        }

        AssertRefused(() => LinuxBootLoader.Load(_memory, new BootFile("vmlinuz", bytes), null, ""), message);
    }

    [Fact]
    public void Bad_initrds_are_refused_with_one_clear_line()
    {
        AssertRefused(() => LinuxBootLoader.Load(_memory, Kernel(), new BootFile("initrd", Array.Empty<byte>()), ""), "the initrd is empty");
        AssertRefused(
            () => LinuxBootLoader.Load(_memory, Kernel(), new BootFile("initrd", new byte[60 * MiB]), ""),
            "no room for an initrd of 60 MiB");
    }

    [Fact]
    public void Too_long_command_line_is_refused() =>
        AssertRefused(() => LinuxBootLoader.Load(_memory, Kernel(), null, new string('x', 3000)), "command line has 3000 bytes");

    [Fact]
    public void Missing_file_is_named()
    {
        AssertRefused(() => BootFile.Read("/nonexistent/vmlinuz"), "/nonexistent/vmlinuz: no such file");
        AssertRefused(() => BootFile.Read("/"), "/: is a directory");
    }

    [Fact]
    public void Multiboot_ELF_is_entered_in_protected_mode_with_its_information()
    {
        var module = new BootModule(new BootFile("env", "NR_CPUS=2\n"u8.ToArray()), "env args");
        BootState state = MultibootLoader.Load(_memory, new BootFile("test.flat", Elf()), [module], "-append this");
        Assert.Equal(0x40_0010UL, state.Rip);
        Assert.Equal(0x2BAD_B002UL, state.Rax);
        Assert.Equal(0x11UL, state.Cr0);
        ulong information = state.Rbx;
        Assert.Equal(0x24Fu, Read32(information));
        Assert.Equal(639u, Read32(information + 4));
        Assert.Equal("test.flat -append this", ReadText(Read32(information + 16)));
        Assert.Equal(1u, Read32(information + 20));
        ulong entry = Read32(information + 24);
        Assert.Equal(0x40_3000u, Read32(entry));
        Assert.Equal(0x40_300Au, Read32(entry + 4));
        Assert.Equal("env args", ReadText(Read32(entry + 8)));
        Assert.Equal("NR_CPUS=2\n", ReadText(Read32(entry)));
        ulong map = Read32(information + 48);
        Assert.Equal(20u, Read32(map));
        Assert.Equal(0UL, Read64(map + 4));
    }

    [Fact]
    public void Multiboot_flat_image_says_itself_where_it_goes()
    {
        byte[] image = new byte[4096];
        Put32(image, 0x20, 0x1BAD_B002, 0x1_0000, unchecked((uint)-(0x1BAD_B002 + 0x1_0000)), 0x10_0020, 0x10_0000, 0, 0x10_4000, 0x10_0040);
        image[0x40] = 0xF4;
        BootState state = MultibootLoader.Load(_memory, new BootFile("flat", image), [], "");
        Assert.Equal(0x10_0040UL, state.Rip);
        Assert.True(_memory.TryRead(state.Rip, out byte code));
        Assert.Equal(0xF4, code);
    }

    [Theory]
    [InlineData("none", "not a multiboot image")]
    [InlineData("64-bit", "not a 32-bit x86 ELF")]
    [InlineData("truncated", "truncated")]
    [InlineData("headers", "program headers")]
    [InlineData("high", "memory is too small")]
    [InlineData("features", "requires features")]
    public void Bad_multiboot_images_are_refused_with_one_clear_line(string kind, string message)
    {
        byte[] bytes = Elf();
        switch (kind)
        {
            case "none":
                bytes[0x100] = 0;
                break;
            case "64-bit":
                bytes[4] = 2;
                break;
            case "truncated":
                bytes = bytes[..^16];
                break;
            case "headers":
                bytes[28] = 0xFF;
                bytes[29] = 0xFF;
                break;
            case "high":
                Put32(bytes, 52 + 12, 0xF000_0000);
                break;
            default:
                Put32(bytes, 0x104, 0x8, unchecked((uint)-(0x1BAD_B002 + 8)));
                break;
        }

        AssertRefused(() => MultibootLoader.Load(_memory, new BootFile("image", bytes), [], ""), message);
    }

    private static void AssertRefused(Func<object> load, string message)
    {
        BootException refused = Assert.Throws<BootException>(load);
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private static BootFile Kernel() => new("vmlinuz", KernelBytes());

    private static byte[] KernelBytes()
    {
        byte[] kernel = new byte[512 + 512 + 8192];
        kernel[0x1F1] = 1;
        Put32(kernel, 0x1F4, 8192 / 16);
        Put32(kernel, 0x202, 0x5372_6448);
        kernel[0x201] = 0x6A;
        kernel[0x206] = 0x0F;
        kernel[0x207] = 0x02;
        Put32(kernel, 0x22C, 0x7FFF_FFFF, 0x20_0000);
        kernel[0x234] = 1;
        kernel[0x236] = 0x3F;
        Put32(kernel, 0x238, 2047);
        Put32(kernel, 0x258, 0x100_0000, 0);
        Put32(kernel, 0x260, 0x40_0000);
        kernel[1024 + 0x200] = 0xC3;
        return kernel;
    }

    private static byte[] Elf()
    {
        byte[] elf = new byte[0x1100];
        "\u007FELF"u8.CopyTo(elf);
        elf[4] = 1;
        elf[5] = 1;
        elf[16] = 2;
        elf[18] = 3;
        Put32(elf, 24, 0x40_0010, 52);
        elf[42] = 32;
        elf[44] = 1;
        Put32(elf, 52, 1, 0x100, 0x40_0000, 0x40_0000, 0x1000, 0x2800, 7, 0x1000);
        Put32(elf, 0x100, 0x1BAD_B002, 0, unchecked((uint)-0x1BAD_B002));
        return elf;
    }

    private static void Put32(byte[] bytes, int offset, params uint[] values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset + (4 * i)), values[i]);
        }
    }

    private ulong Translate(ulong cr3, ulong address)
    {
        ulong l4 = Read64(cr3 + ((address >> 39) & 511) * 8);
        ulong l3 = Read64((l4 & ~0xFFFUL) + ((address >> 30) & 511) * 8);
        ulong l2 = Read64((l3 & ~0xFFFUL) + ((address >> 21) & 511) * 8);
        Assert.Equal(0x83UL, l2 & 0xFFF);
        return (l2 & ~0x1F_FFFFUL) + (address & 0x1F_FFFF);
    }

    private uint Read32(ulong gpa)
    {
        Assert.True(_memory.TryRead(gpa, out uint value));
        return value;
    }

    private ulong Read64(ulong gpa)
    {
        Assert.True(_memory.TryRead(gpa, out ulong value));
        return value;
    }

    private string ReadText(ulong gpa)
    {
        byte[] bytes = new byte[256];
        Assert.True(_memory.TryRead(gpa, bytes));
        return Encoding.ASCII.GetString(bytes, 0, Array.IndexOf(bytes, (byte)0));
    }
}
