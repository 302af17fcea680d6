// The NVMe controller against the specification: start and stop, queues, transfers, everything bad, and garbage.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;
using Sharpvisor.Devices.Nvme;
using Xunit;

namespace Sharpvisor.Devices.Tests.Nvme;

public sealed class NvmeTests
{
    private const byte Write = 1;
    private const byte Read = 2;

    [Fact]
    public void It_says_what_it_is_and_where_its_registers_are()
    {
        using var board = new NvmeBoard();
        Assert.Equal((0x00A9_1414u, 0x0108_0200u), (board.Controller.ReadConfig(0, 4), board.Controller.ReadConfig(8, 4)));
        board.Controller.WriteConfig(0x10, 4, uint.MaxValue);
        Assert.Equal(0xFFFF_C000u, board.Controller.ReadConfig(0x10, 4));
        board.Controller.WriteConfig(0x10, 4, 0xFC00_4000);
        Assert.Null(board.Registers);
        board.Controller.WriteConfig(4, 2, 2);
        Assert.Same(board.Controller, board.Registers);
        Assert.Equal((0x0001_0400u, NvmeController.MaxQueueEntries - 1), (board.Read(8), board.Read(0) & 0xFFFF));
        Assert.Equal(0x11u, board.Controller.ReadConfig((int)board.Controller.ReadConfig(0x34, 1), 1));
    }

    [Theory]
    [InlineData(0x0046_0011u)]
    [InlineData(0x0046_0081u)]
    [InlineData(0x0046_0801u)]
    [InlineData(0x0057_0001u)]
    public void A_configuration_it_does_not_have_is_a_fatal_error_until_reset(uint configuration)
    {
        using var board = new NvmeBoard();
        board.Write(0x24, 0x000F_000F);
        board.Write(0x14, configuration);
        board.WaitForStatus(3, 2);
        board.Write(0x14, 0);
        board.WaitForStatus(3, 0);
        board.Enable();
    }

    [Fact]
    public void Queues_outside_memory_are_a_fatal_error()
    {
        using NvmeBoard board = new NvmeBoard().Enable();
        board.Write(0x14, 0);
        board.WaitForStatus(1, 0);
        board.Controller.WriteMmio(0x28, 8, 0x7FFF_FFFF_F000);
        board.Write(0x14, 0x0046_0001);
        board.WaitForStatus(3, 1);
        board.Write(0x1000, 1);
        board.WaitForStatus(2, 2);
    }

    [Fact]
    public void Identify_describes_controller_namespace_and_disk()
    {
        using NvmeBoard board = new NvmeBoard().Enable();
        Assert.Equal(0, board.Admin(6, 1, prp1: NvmeBoard.Buffer).Status);
        byte[] data = Take(board, 4096);
        Assert.StartsWith("Sharpvisor NVMe disk ", Encoding.ASCII.GetString(data, 24, 40), StringComparison.Ordinal);
        Assert.Equal((0x66, 0x44, 8, 1u), (data[512], data[513], data[77], BitConverter.ToUInt32(data, 516)));
        Assert.Equal(0, board.Admin(6, 0, prp1: NvmeBoard.Buffer, space: 1).Status);
        data = Take(board, 4096);
        Assert.Equal((4096L, 9), (BitConverter.ToInt64(data), data[130]));
        Assert.Equal(0, board.Admin(6, 2, prp1: NvmeBoard.Buffer).Status);
        Assert.Equal(1, Take(board, 4)[0]);
        Assert.Equal(0, board.Admin(6, 3, prp1: NvmeBoard.Buffer, space: 1).Status);
        Assert.Equal((0x0B, 0x02), (board.Admin(6, 0, prp1: NvmeBoard.Buffer, space: 2).Status, board.Admin(6, 0x77, prp1: NvmeBoard.Buffer).Status));
        // Across two pages, into nothing, and misaligned.
        Assert.Equal(0, board.Wait(0, board.Submit(0, 6, 1, prp1: NvmeBoard.Buffer + 0x800, prp2: NvmeBoard.Buffer + 0x3000, space: 0)).Status);
        Assert.Equal((0x04, 0x13), (board.Admin(6, 1, prp1: 0xF000_0000).Status, board.Admin(6, 1, prp1: NvmeBoard.Buffer + 1).Status));
    }

    [Theory]
    [InlineData(5, 0u, 31u, 3u, 0u, 0x101)]
    [InlineData(5, 17u, 31u, 3u, 0u, 0x101)]
    [InlineData(5, 1u, 31u, 3u, 0u, 0x101)]
    [InlineData(5, 2u, 0u, 3u, 0u, 0x102)]
    [InlineData(5, 2u, 1024u, 3u, 0u, 0x102)]
    [InlineData(5, 2u, 31u, 3u, 17u, 0x108)]
    [InlineData(5, 2u, 31u, 2u, 0u, 0x002)]
    [InlineData(1, 0u, 31u, 1u, 1u, 0x101)]
    [InlineData(1, 1u, 31u, 1u, 1u, 0x101)]
    [InlineData(1, 2u, 0u, 1u, 1u, 0x102)]
    [InlineData(1, 2u, 31u, 1u, 0u, 0x100)]
    [InlineData(1, 2u, 31u, 1u, 3u, 0x100)]
    [InlineData(1, 2u, 31u, 0u, 1u, 0x002)]
    [InlineData(4, 1u, 0u, 0u, 0u, 0x10C)]
    [InlineData(4, 3u, 0u, 0u, 0u, 0x101)]
    [InlineData(0, 3u, 0u, 0u, 0u, 0x101)]
    [InlineData(0, 0u, 0u, 0u, 0u, 0x101)]
    [InlineData(0x7F, 0u, 0u, 0u, 0u, 0x001)]
    public void Queue_commands_that_make_no_sense_get_their_status(byte opcode, uint id, uint size, uint flags, uint other, int status)
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue(1);
        Assert.Equal(status, board.Admin(opcode, id | (size << 16), flags | (other << 16), 0x8_0000).Status);
    }

    [Theory]
    [InlineData(1u, 0ul)]
    [InlineData(8u, 0xA00ul)]
    [InlineData(16u, 0ul)]
    [InlineData(17u, 0ul)]
    [InlineData(1024u, 0xE00ul)]
    [InlineData(2048u, 0ul)]
    public void What_is_written_is_read_back_however_the_pages_lie(uint blocks, ulong offset)
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        byte[] data = new byte[blocks * 512];
        new Random((int)blocks).NextBytes(data);
        (ulong prp1, ulong prp2) = Scatter(board, NvmeBoard.Buffer, offset, data, 0x40_0000);
        Assert.Equal(0, board.Io(Write, 100, blocks, prp1, prp2));
        Assert.Equal(data, board.Disk.Content[(100 * 512)..(int)((100 + blocks) * 512)]);
        (prp1, prp2) = Scatter(board, 0x80_0000, offset, new byte[data.Length], 0xC0_0000);
        Assert.Equal(0, board.Io(Read, 100, blocks, prp1, prp2));
        Assert.Equal(data, Gather(board, 0x80_0000, offset, data.Length));
        Assert.Contains(new MsiMessage(0xFEE0_0000, 0x41), board.Interrupts);
    }

    [Fact]
    public void Bad_transfers_get_their_status()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        Assert.Equal(0x80, board.Io(Read, 4096, 1));
        Assert.Equal(0x80, board.Io(Read, 4095, 2));
        Assert.Equal(0x80, board.Io(Read, ulong.MaxValue, 1));
        Assert.Equal(0x02, board.Io(Read, 0, 2049, prp2: 0x20_0000));
        Assert.Equal(0x0B, board.Io(Read, 0, 1, space: 2));
        Assert.Equal(0x01, board.Io(0x44, 0, 1));
        Assert.Equal(0x13, board.Io(Read, 0, 1, prp1: NvmeBoard.Buffer + 2));
        Assert.Equal(0x13, board.Io(Read, 0, 16, prp2: NvmeBoard.Buffer + 0x1004));
        Assert.Equal(0x13, board.Io(Read, 0, 17, prp2: NvmeBoard.Buffer + 0x1004));
        Assert.Equal(0x04, board.Io(Read, 0, 17, prp2: 0xF000_0000));
        Assert.Equal(0x04, board.Io(Read, 0, 1, prp1: ulong.MaxValue - 511));
        Assert.Equal(0x02, board.Wait(1, board.Submit(1, Read, prp1: NvmeBoard.Buffer, flags: 0x40)).Status);
        // A list that is only a pointer to itself.
        Assert.True(board.Memory.TryWrite(0x20_0FF8, 0x20_0FF8UL));
        Assert.Equal(0x13, board.Io(Read, 0, 32, prp2: 0x20_0FF8));
        board.Disk.Fault = DiskStatus.ReadError;
        Assert.Equal(0x281, board.Io(Read, 0, 1));
        board.Disk.Fault = DiskStatus.WriteError;
        Assert.Equal((0x280, 0x280), (board.Io(Write, 0, 1), board.Io(0, 0, 1)));
        board.Disk.Fault = DiskStatus.Success;
        Assert.Equal(0, board.Io(Read, 0, 1));
    }

    [Fact]
    public void Flush_force_unit_access_zeroes_and_deallocation_reach_the_disk()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        Array.Fill(board.Disk.Content, (byte)0xEE);
        Assert.Equal(0, board.Io(0, 0, 1, space: uint.MaxValue));
        Assert.Equal(0, board.Wait(1, board.Submit(1, Write, dword12: 1 << 30, prp1: NvmeBoard.Buffer)).Status);
        Assert.Equal(2, board.Disk.Flushes);
        Assert.Equal(0, board.Io(8, 8, 8));
        Assert.Equal((0xEE, 0, 0, 0xEE), (board.Disk.Content[4095], board.Disk.Content[4096], board.Disk.Content[8191], board.Disk.Content[8192]));
        byte[] ranges = new byte[32];
        BinaryPrimitives.WriteInt32LittleEndian(ranges.AsSpan(4), 8);
        BinaryPrimitives.WriteInt64LittleEndian(ranges.AsSpan(8), 100);
        BinaryPrimitives.WriteInt32LittleEndian(ranges.AsSpan(20), 1);
        BinaryPrimitives.WriteInt64LittleEndian(ranges.AsSpan(24), 4095);
        Assert.True(board.Memory.TryWrite(NvmeBoard.Buffer, ranges));
        Assert.Equal(0, board.Wait(1, board.Submit(1, 9, dword10: 1, dword11: 4, prp1: NvmeBoard.Buffer)).Status);
        Assert.Equal((0, 0, 0xEE), (board.Disk.Content[51200], board.Disk.Content[4095 * 512], board.Disk.Content[(108 * 512) + 1]));
        Assert.True(board.Memory.TryWrite(NvmeBoard.Buffer + 24, 4096L));
        Assert.Equal(0x80, board.Wait(1, board.Submit(1, 9, dword10: 1, dword11: 4, prp1: NvmeBoard.Buffer)).Status);
    }

    [Fact]
    public void A_read_only_disk_is_write_protected()
    {
        using NvmeBoard board = new NvmeBoard(isReadOnly: true).Enable().CreateQueue();
        Assert.Equal((0, 0x20, 0x20), (board.Io(Read, 0, 1), board.Io(Write, 0, 1), board.Io(8, 0, 1)));
        Assert.Equal(0, board.Admin(6, 0, prp1: NvmeBoard.Buffer, space: 1).Status);
        Assert.Equal(1, Take(board, 4096)[99]);
    }

    [Fact]
    public void A_full_completion_queue_holds_commands_back_and_loses_none()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue(entries: 4);
        var sent = new List<ushort>();
        var taken = new List<ushort>();
        for (int round = 0; round < 20; round++)
        {
            // Three fit into the queue; two are taken without telling the controller.
            for (int i = 0; i < 3; i++)
            {
                sent.Add(board.Submit(1, Read, prp1: NvmeBoard.Buffer));
            }

            for (int i = 0; i < 3; i++)
            {
                (ushort Id, int Status, uint Result)? one = null;
                Assert.True(SpinWait.SpinUntil(() => (one = board.TryTake(1, ring: false)) is not null, TimeSpan.FromSeconds(20)));
                taken.Add(one!.Value.Id);
            }

            Assert.Null(board.TryTake(1));
            board.Write(0x100C, (uint)((round + 1) * 3 % 4));
        }

        Assert.Equal(sent.Order(), taken.Order());
    }

    [Fact]
    public void A_masked_vector_is_pending_until_unmasked()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        board.Write(0x201C, 1);
        board.Interrupts.Clear();
        Assert.Equal(0, board.Io(Read, 0, 1));
        Assert.True(SpinWait.SpinUntil(() => board.Read(0x3000) == 2, TimeSpan.FromSeconds(20)));
        Assert.Empty(board.Interrupts);
        board.Write(0x201C, 0);
        Assert.Equal(new MsiMessage(0xFEE0_0000, 0x41), Assert.Single(board.Interrupts));
        Assert.Equal(0u, board.Read(0x3000));
    }

    [Fact]
    public void A_deleted_queue_ends_after_its_commands_and_its_id_is_free_again()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        var gate = new TaskCompletionSource();
        board.Disk.Gate = gate.Task;
        ushort read = board.Submit(1, Read, prp1: NvmeBoard.Buffer);
        Assert.True(SpinWait.SpinUntil(() => board.Disk.Reads == 1, TimeSpan.FromSeconds(20)));
        ushort deletion = board.Submit(0, 0, 1, space: 0);
        Assert.Null(board.TryTake(0));
        gate.SetResult();
        Assert.Equal(0, board.Wait(1, read).Status);
        Assert.Equal(0, board.Wait(0, deletion).Status);
        Assert.Equal(0, board.Admin(4, 1).Status);
        board.CreateQueue();
        Assert.Equal(0, board.Io(Read, 0, 1));
    }

    [Fact]
    public void A_disabled_controller_has_no_IO_under_way_and_starts_again()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        var gate = new TaskCompletionSource();
        board.Disk.Gate = gate.Task;
        board.Submit(1, Read, prp1: NvmeBoard.Buffer);
        Assert.True(SpinWait.SpinUntil(() => board.Disk.Reads == 1, TimeSpan.FromSeconds(20)));
        board.Write(0x14, 0x0046_0000);
        Thread.Sleep(30);
        Assert.Equal(1u, board.Read(0x1C) & 1);
        gate.SetResult();
        board.WaitForStatus(1, 0);
        board.Enable().CreateQueue();
        Assert.Equal(0, board.Io(Read, 0, 1));
        board.Write(0x14, 0x0046_4001);
        board.WaitForStatus(0xC, 8);
        Assert.Equal(1, board.Disk.Flushes);
    }

    [Fact]
    public void A_doorbell_out_of_range_is_an_event_and_nothing_more()
    {
        using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
        ushort[] waiting = [.. Enumerable.Range(0, 4).Select(_ => board.Submit(0, 12, space: 0))];
        Assert.Equal(0x105, board.Admin(12).Status);
        board.Write(0x1008, 999);
        (int status, uint result) = board.Wait(0, waiting[0]);
        Assert.Equal((0, 0x0001_0100u), (status, result));
        board.Write(0x100C, uint.MaxValue);
        board.Write(0x1FFC, 1);
        Assert.Equal(0, board.Io(Read, 0, 1));
        // The next event comes when the log was read.
        Assert.Equal(0, board.Wait(0, board.Submit(0, 2, 1 | (15 << 16), prp1: NvmeBoard.Buffer, space: 0)).Status);
    }

    [Fact]
    public void Features_and_log_pages_answer()
    {
        using NvmeBoard board = new NvmeBoard().Enable();
        uint queues = (NvmeController.MaxQueues - 1) * 0x1_0001u;
        Assert.Equal((0, queues), board.Admin(9, 7, 0x0003_0003));
        Assert.Equal((0, queues), board.Admin(10, 7));
        Assert.Equal((0, 1u), board.Admin(10, 6));
        Assert.Equal((0, 0u), board.Admin(9, 6, 0));
        Assert.Equal((0, 0u), board.Admin(10, 6));
        Assert.Equal((0x02, 0x02, 0x10D), (board.Admin(9, 0x55).Status, board.Admin(10, 0).Status, board.Admin(9, 6 | 0x8000_0000).Status));
        Assert.Equal(0, board.Admin(2, 2 | (127u << 16), prp1: NvmeBoard.Buffer).Status);
        Assert.Equal(100, Take(board, 512)[3]);
        Assert.Equal((0x109, 0x02), (board.Admin(2, 0x99, prp1: NvmeBoard.Buffer).Status, board.Admin(2, 2, dword12: 0x1000, prp1: NvmeBoard.Buffer).Status));
        Assert.Equal((0, 1u), board.Admin(8, 1));
    }

    [Fact]
    public void Garbage_in_queues_doorbells_and_registers_is_survived()
    {
        var random = new Random(3);
        for (int round = 0; round < 30; round++)
        {
            using NvmeBoard board = new NvmeBoard().Enable().CreateQueue();
            for (int i = 0; i < 200; i++)
            {
                byte[] entry = new byte[64];
                random.NextBytes(entry);
                entry[0] = (byte)random.Next(16);
                entry[1] = random.Next(4) == 0 ? entry[1] : (byte)0;
                BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(4), (uint)random.Next(3));
                BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(24), (ulong)random.Next(1 << 24) & ~0xFFFUL);
                BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(32), (ulong)random.Next(1 << 25) & ~7UL);
                BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(40), (ulong)random.Next(5000));
                BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(48), (uint)random.Next(3000));
                board.Submit(random.Next(2), entry);
                _ = board.TryTake(0);
                _ = board.TryTake(1);
                if (random.Next(8) == 0)
                {
                    ulong offset = (ulong)(random.Next(2) == 0 ? random.Next(0x40) : random.Next(0x1000, 0x4000)) & ~3UL;
                    board.Write(offset, offset == 0x14 ? (uint)random.Next(2) | 0x0046_0000 : (uint)random.Next());
                    _ = board.Read(offset);
                }
            }

            board.Controller.PowerOff();
            board.Enable().CreateQueue();
            Assert.Equal(0, board.Io(Read, 0, 1));
        }
    }

    private static byte[] Take(NvmeBoard board, int bytes)
    {
        byte[] data = new byte[bytes];
        Assert.True(board.Memory.TryRead(NvmeBoard.Buffer, data));
        return data;
    }

    /// <summary>Puts data into every second page, with as many lists as that takes, at the end of a page so that they are chained.</summary>
    private static (ulong Prp1, ulong Prp2) Scatter(NvmeBoard board, ulong first, ulong offset, byte[] data, ulong lists)
    {
        List<ulong> pages = [.. Pages(first, offset, data.Length)];
        int at = 0;
        foreach (ulong page in pages)
        {
            int bytes = Math.Min(data.Length - at, 4096 - (int)(page & 0xFFF));
            Assert.True(board.Memory.TryWrite(page, data.AsSpan(at, bytes)));
            at += bytes;
        }

        if (pages.Count <= 2)
        {
            return (pages[0], pages.ElementAtOrDefault(1));
        }

        // Four entries to the end of the page, the last a pointer if there are more.
        ulong list = lists + 0xFE0;
        ulong start = list;
        ulong end = lists + 0x1000;
        for (int i = 1; i < pages.Count; i++)
        {
            if (list == end - 8 && i < pages.Count - 1)
            {
                Assert.True(board.Memory.TryWrite(list, end));
                list = end;
                end += 0x1000;
            }

            Assert.True(board.Memory.TryWrite(list, pages[i]));
            list += 8;
        }

        return (pages[0], start);
    }

    private static byte[] Gather(NvmeBoard board, ulong first, ulong offset, int length)
    {
        byte[] data = new byte[length];
        int at = 0;
        foreach (ulong page in Pages(first, offset, length))
        {
            int bytes = Math.Min(length - at, 4096 - (int)(page & 0xFFF));
            Assert.True(board.Memory.TryRead(page, data.AsSpan(at, bytes)));
            at += bytes;
        }

        return data;
    }

    private static IEnumerable<ulong> Pages(ulong first, ulong offset, int length)
    {
        yield return first + offset;
        int done = 4096 - (int)offset;
        for (ulong page = first + 0x2000; done < length; page += 0x2000)
        {
            yield return page;
            done += 4096;
        }
    }
}
