#!/bin/sh
#SBATCH --job-name=hello
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=128M
#SBATCH --time=5
# A Slurm script as it stands:  busbar apply -f examples/hello.sh
echo "hello from job $SLURM_JOB_ID on $(hostname), $SLURM_CPUS_PER_TASK CPU"
