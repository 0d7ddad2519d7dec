/* Passes a token around a ring of all processes, then adds up numbers with MPI_Allreduce; every process checks both. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT 100000

static int pass_token(int rank, int size) {
  int token = 0;
  if (size == 1) {
    return 1;
  }
  if (rank == 0) {
    token = 1;
    MPI_Send(&token, 1, MPI_INT, 1, 0, MPI_COMM_WORLD);
    MPI_Recv(&token, 1, MPI_INT, size - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return token;
  }
  MPI_Recv(&token, 1, MPI_INT, rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  ++token;
  MPI_Send(&token, 1, MPI_INT, (rank + 1) % size, 0, MPI_COMM_WORLD);
  return token;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  int size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  printf("rank %d of %d on %s\n", rank, size, host);

  const int token = pass_token(rank, size);
  if (rank == 0 && token != size) {
    fprintf(stderr, "the token came back as %d, expected %d\n", token, size);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }

  long* mine = malloc(COUNT * sizeof *mine);
  long* sum = malloc(COUNT * sizeof *sum);
  for (long i = 0; i < COUNT; ++i) {
    mine[i] = i * (rank + 1);
  }
  MPI_Allreduce(mine, sum, COUNT, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
  const long ranks = (long)size * (size + 1) / 2;
  for (long i = 0; i < COUNT; ++i) {
    if (sum[i] != i * ranks) {
      fprintf(stderr, "rank %d: sum of element %ld is %ld, expected %ld\n", rank, i, sum[i], i * ranks);
      MPI_Abort(MPI_COMM_WORLD, 1);
    }
  }
  if (rank == 0) {
    printf("ring of %d closed, allreduce of %d numbers is right\n", size, COUNT);
  }
  free(mine);
  free(sum);
  MPI_Finalize();
  return 0;
}
